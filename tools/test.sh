#!/usr/bin/env bash
# test.sh PYTHON…: all tests, after tools/build.sh debug. Ends with the count of tests.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-target}")
export WSGI_TEST_VENV=${WSGI_TEST_VENV:-$target/test-venv}
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-2}
python=$1

if [[ ! -x $WSGI_TEST_VENV/bin/python ]]; then
    "$python" -m venv "$WSGI_TEST_VENV"
fi
"$WSGI_TEST_VENV/bin/python" -m pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt

log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
cargo test --no-fail-fast 2>&1 | tee "$log" || status=1
for python in "$@"; do
    name=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    PYO3_PYTHON=$python cargo test --no-fail-fast --package wsgi-runtime --target-dir "$target/$name" 2>&1 | tee --append "$log" || status=1
done

read -r passed failed < <(sed -nE 's/^test result: [a-zA-Z]+\. ([0-9]+) passed; ([0-9]+) failed.*/\1 \2/p' "$log" |
    awk '{ passed += $1; failed += $2 } END { print passed + 0, failed + 0 }')
if ((passed + failed == 0)); then
    echo "no test was run" >&2
    status=1
fi
echo "$passed passed, $failed failed"
exit "$status"
