//! Which interpreter is embedded, and how it is started: once in a process, on the thread that becomes Python's main
//! thread.

use std::{
    env,
    ffi::{CStr, CString},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use pyo3::ffi;

/// Names the interpreter whose packages handlers see: a path. Same minor version as the one this program is linked with.
pub(crate) const VARIABLE: &str = "ASYA_PYTHON";
/// The interpreter of the build.
const BUILT_WITH: &str = env!("ASYA_BRIDGE_PYTHON");
/// Its version, `3.x`.
const VERSION: &str = env!("ASYA_BRIDGE_PYTHON_VERSION");

static STARTED: OnceLock<Result<(), String>> = OnceLock::new();

/// Starts the interpreter if it does not run yet. The first thread that calls this is Python's main thread: the one
/// where handlers may set signal handlers.
///
/// # Errors
/// A reason for a person: no such interpreter, another version, or what Python says.
pub(crate) fn start() -> Result<(), String> {
    STARTED.get_or_init(|| initialize(&choose()?)).clone()
}

/// `ASYA_PYTHON`, else the active virtual environment, else the interpreter of the build, else `python3`.
fn choose() -> Result<PathBuf, String> {
    let filled = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let built_with = Path::new(BUILT_WITH);
    let candidate = filled(VARIABLE)
        .or_else(|| filled("VIRTUAL_ENV").map(|folder| folder.join("bin/python3")))
        .unwrap_or_else(|| if built_with.exists() { built_with.into() } else { "python3".into() });
    let shown = candidate.display();
    let asked = Command::new(&candidate)
        .args(["-c", "import sys; print('%d.%d' % sys.version_info[:2]); print(sys.executable)"])
        .output()
        .map_err(|error| format!("cannot run the Python interpreter {shown}: {error}; set {VARIABLE}"))?;
    let told = String::from_utf8_lossy(&asked.stdout);
    let (version, executable) = told.trim().split_once('\n').unwrap_or_default();
    if !asked.status.success() || executable.is_empty() {
        let reason = String::from_utf8_lossy(&asked.stderr);
        return Err(format!("{shown} does not work as a Python interpreter: {}", reason.trim()));
    }
    if version != VERSION {
        return Err(format!(
            "{shown} is Python {version}, but this program embeds Python {VERSION}: its packages do not fit; \
             set {VARIABLE} to a Python {VERSION}"
        ));
    }
    Ok(executable.into())
}

#[allow(
    unsafe_code,
    reason = "pyo3 starts an interpreter only by the first python3 on PATH, which may be another one"
)]
fn initialize(executable: &Path) -> Result<(), String> {
    let path = CString::new(executable.as_os_str().as_encoded_bytes())
        .expect("a path of the system has no zero byte");
    // SAFETY: called once in a process, before any other use of Python, by the OnceLock above. `config` is initialized
    // before it is used, cleared on every way out, and outlives the calls that take it. The thread that initialized the
    // interpreter holds its lock until PyEval_SaveThread gives it up, as `Python::attach` requires.
    unsafe {
        let mut config = std::mem::MaybeUninit::<ffi::PyConfig>::uninit();
        let config = config.as_mut_ptr();
        ffi::PyConfig_InitPythonConfig(config);
        // Signals are the sidecar's, arguments too.
        (*config).install_signal_handlers = 0;
        (*config).parse_argv = 0;
        let mut status = ffi::PyConfig_SetBytesString(config, &raw mut (*config).program_name, path.as_ptr());
        if ffi::PyStatus_Exception(status) == 0 {
            status = ffi::PyConfig_SetBytesString(config, &raw mut (*config).executable, path.as_ptr());
        }
        if ffi::PyStatus_Exception(status) == 0 {
            status = ffi::Py_InitializeFromConfig(config);
        }
        ffi::PyConfig_Clear(config);
        if ffi::PyStatus_Exception(status) != 0 {
            let reason = if status.err_msg.is_null() {
                "no reason given".into()
            } else {
                CStr::from_ptr(status.err_msg).to_string_lossy()
            };
            return Err(format!("Python {} cannot be started: {reason}", executable.display()));
        }
        ffi::PyEval_SaveThread();
    }
    Ok(())
}
