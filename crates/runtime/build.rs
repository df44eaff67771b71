//! Hands the version of the Python that this build is for to the code as cfgs (`Py_3_12`, `Py_GIL_DISABLED` …) and
//! numbers.

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
    let version = pyo3_build_config::get().version();
    assert!(
        (version.major, version.minor) >= (3, 10),
        "Python 3.10 is the oldest that a runtime can be built for (KD-37), not {version}: set PYO3_PYTHON to a newer one"
    );
    println!("cargo:rustc-env=WSGI_PYTHON_MAJOR={}", version.major);
    println!("cargo:rustc-env=WSGI_PYTHON_MINOR={}", version.minor);
}
