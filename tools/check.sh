#!/usr/bin/env bash
# check.sh PYTHON…: format, lints, documentation, and that the fuzz targets run.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
cargo fmt --check
cargo clippy --all-targets -- -D warnings
RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --quiet
(cd fuzz && cargo fmt --check && CARGO_TARGET_DIR=$(realpath --canonicalize-missing "$target")/fuzz cargo clippy --locked -- -D warnings)
FUZZ_SECONDS=0 tools/fuzz.sh
for python in "$@"; do
    name=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    PYO3_PYTHON=$python cargo clippy --package wsgi-runtime --all-targets --target-dir "$target/$name" -- -D warnings
    PYO3_PYTHON=$python RUSTDOCFLAGS='-D warnings' cargo doc --package wsgi-runtime --no-deps --quiet --target-dir "$target/$name"
done
