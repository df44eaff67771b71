#!/usr/bin/env bash
# build.sh release|debug PYTHON…: module and daemon, and a runtime for each Python, in target/<profile>.
set -euo pipefail
cd "$(dirname "$0")/.."
profile=$1
shift
flags=()
[[ $profile == debug ]] || flags=(--release)
target=${CARGO_TARGET_DIR:-target}

cargo build "${flags[@]}" --package mod_wsgi --package mod_wsgi-daemon --package wsgi-preload
installed=$target/$profile/mod_wsgi
mkdir -p "$installed"
for python in "$@"; do
    name=$("$python" -c 'import sys, sysconfig
print("python%d.%d%s" % (*sys.version_info[:2], "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""))')
    # A folder for each Python: the build scripts of pyo3 would otherwise run anew at every change of Python. Not that of the
    # runtime's tests, which are linked with Python's library: the runtime itself takes Python from the process that loads it.
    PYO3_PYTHON=$python PYO3_BUILD_EXTENSION_MODULE=1 cargo build "${flags[@]}" --package wsgi-runtime --target-dir "$target/$name/runtime"
    "$python" tools/python-files.py "$name" >"$installed/$name.conf.new"
    install -m 755 "$target/$name/runtime/$profile/libwsgi_runtime.so" "$installed/$name.so.new"
    mv "$installed/$name.conf.new" "$installed/$name.conf"
    mv "$installed/$name.so.new" "$installed/$name.so"
done
