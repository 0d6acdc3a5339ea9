#!/usr/bin/env bash
# Tests the bridge with an interpreter that can be embedded: PYO3_PYTHON if set, else python3, else the system's, for
# which libpython is installed when that is possible. With CI=true it is a failure if there is none; without, it is said
# loudly. Arguments go to `cargo test`.
set -euo pipefail
cd "$(dirname "$0")"

# True if this interpreter has a libpython to link with.
embeddable() {
    "$1" - <<'PYTHON' 2>/dev/null
import os, sys, sysconfig
name = sysconfig.get_config_var("LDLIBRARY") or ""
folders = [sysconfig.get_config_var("LIBDIR") or "", sysconfig.get_config_var("LIBPL") or ""]
shared = sysconfig.get_config_var("Py_ENABLE_SHARED") and ".so" in name
sys.exit(0 if sys.version_info >= (3, 10) and shared and os.path.exists(os.path.join(folders[0], name)) else 1)
PYTHON
}

choose() {
    local candidate
    for candidate in ${PYO3_PYTHON:-python3 /usr/bin/python3}; do
        if command -v "$candidate" >/dev/null && embeddable "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    if [ -z "${PYO3_PYTHON:-}" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        {
            apt-get install -y -qq libpython3-dev python3-venv ||
                { apt-get update -qq && apt-get install -y -qq libpython3-dev python3-venv; }
        } >/dev/null 2>&1 || true
        if embeddable /usr/bin/python3; then
            echo /usr/bin/python3
            return
        fi
    fi
    return 1
}

if ! PYO3_PYTHON=$(choose); then
    echo "######## embedded Python: NOT TESTED: no interpreter with a shared libpython: apt-get install libpython3-dev" >&2
    [ "${CI:-}" != true ]
    exit
fi
export PYO3_PYTHON
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/../../target}
cargo fmt --check
cargo clippy --quiet --all-targets -- -D warnings
exec cargo test --quiet "$@"
