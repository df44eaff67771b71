//! Hands the version of the Python that this build is for to the code as cfgs (`Py_3_12`, `Py_GIL_DISABLED` …), and
//! closes the library's symbols but for its entry.

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
}
