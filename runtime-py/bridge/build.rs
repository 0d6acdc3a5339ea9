//! Links the interpreter that `PYO3_PYTHON` names, so that the loader finds the very libpython it was built against.

fn main() {
    pyo3_build_config::add_libpython_rpath_link_args();
    #[allow(deprecated, reason = "the only way to the version and the path of the interpreter")]
    let config = pyo3_build_config::get();
    let version = config.version();
    println!("cargo:rustc-env=ASYA_BRIDGE_PYTHON_VERSION={}.{}", version.major, version.minor);
    println!("cargo:rustc-env=ASYA_BRIDGE_PYTHON={}", config.executable().unwrap_or("python3"));
}
