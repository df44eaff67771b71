#!/usr/bin/env bash
# build.sh release|debug PYTHON…: module and daemon, and a runtime for each Python, in target/<profile>.
set -euo pipefail
cd "$(dirname "$0")/.."
profile=$1
shift
flags=()
[[ $profile == debug ]] || flags=(--release)
target=${CARGO_TARGET_DIR:-target}

cargo build "${flags[@]}" --package mod_wsgi --package mod_wsgi-daemon
mkdir -p "$target/$profile/mod_wsgi"
for python in "$@"; do
    name=$("$python" -c 'import sys, sysconfig
print("python%d.%d%s" % (*sys.version_info[:2], "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""))')
    # A folder for each Python: the build scripts of pyo3 would otherwise run anew at every change of Python.
    PYO3_PYTHON=$python cargo build "${flags[@]}" --package wsgi-runtime --target-dir "$target/$name"
    install -m 755 "$target/$name/$profile/libwsgi_runtime.so" "$target/$profile/mod_wsgi/$name.so.new"
    mv "$target/$profile/mod_wsgi/$name.so.new" "$target/$profile/mod_wsgi/$name.so"
done
