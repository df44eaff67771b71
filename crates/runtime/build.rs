//! Hands the version of the Python that this build is for to the code as cfgs (`Py_3_12`, `Py_GIL_DISABLED` …) and
//! numbers.

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
    let version = pyo3_build_config::get().version();
    println!("cargo:rustc-env=WSGI_PYTHON_MAJOR={}", version.major);
    println!("cargo:rustc-env=WSGI_PYTHON_MINOR={}", version.minor);
}
