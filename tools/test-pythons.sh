#!/usr/bin/env bash
# test-pythons.sh: what needs several Pythons from 3.12 on. Makes a tree of Debian sid in target/sid (once), builds module, daemon
# and a runtime for each of its Pythons in there, runs the tests of the engine and live tests with each of them, and tests/pythons
# with all; the last line has the counts. Needs root, and Debian's mirror (MIRROR=…) the first time. WSGI_LONG=1: more restarts.
# Nothing in there waits without a bound; the whole is ended after BOUND (one hour).
set -euo pipefail
cd "$(dirname "$0")/.."
source=$PWD
target=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-target}")
tree=$target/sid
mirror=${MIRROR:-http://deb.debian.org/debian}

if ((EUID != 0)); then
    echo "test-pythons: chroot and mount need root; run it with sudo" >&2
    exit 1
fi
# With mounts and processes of its own, so that nothing stays mounted in the tree and no server runs on, whatever happens.
if [[ -z ${WSGI_PRIVATE_MOUNTS:-} ]]; then
    cargo fetch --quiet --locked
    WSGI_PRIVATE_MOUNTS=1 exec timeout --foreground --signal=KILL "${BOUND:-1h}" \
        unshare --mount --pid --fork --kill-child --propagation private "$0" "$@"
fi

# The first process of a namespace has no default for signals.
trap "exit 130" INT TERM

inside() {
    chroot "$tree" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
        CARGO_HOME=/cargo CARGO_NET_OFFLINE=true CARGO_TARGET_DIR=/out CARGO_INCREMENTAL=0 \
        CARGO_PROFILE_DEV_DEBUG=line-tables-only RUST_BACKTRACE=0 RUST_TEST_THREADS="${RUST_TEST_THREADS:-2}" \
        ${WSGI_LONG:+WSGI_LONG="$WSGI_LONG"} "$@"
}

# numpy and rpds-py refuse sub-interpreters, each in its way.
packages=(apache2 apache2-dev cargo clang curl libclang-dev openssl pkg-config procps python3 python3-numpy python3-rpds-py python3-venv)
if [[ ! -e $tree/.made || $(<"$tree/.made") != "${packages[*]}" ]]; then
    command -v debootstrap >/dev/null || apt-get install -y -qq --no-install-recommends debootstrap >/dev/null
    [[ -e $tree/etc/debian_version ]] || debootstrap --variant=minbase --include=ca-certificates sid "$tree" "$mirror"
    # No service is to be started in there.
    printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d"
    chmod 755 "$tree/usr/sbin/policy-rc.d"
    cp /etc/resolv.conf "$tree/etc/resolv.conf"
    # A mirror may be a snapshot.
    inside apt-get -o Acquire::Check-Valid-Until=false update -qq
    mapfile -t pythons < <(inside apt-cache search --names-only '^python3\.[0-9]+-dev$' | cut -d ' ' -f 1)
    inside apt-get install -y -qq --no-install-recommends "${packages[@]}" "${pythons[@]}" >/dev/null
    inside apt-get clean
    echo "${packages[*]}" >"$tree/.made"
fi

mkdir -p "$tree/src" "$tree/cargo/registry" "$tree/out"
mount --bind -o ro "$source" "$tree/src"
mount --bind "${CARGO_HOME:-$HOME/.cargo}/registry" "$tree/cargo/registry"
mount -t proc proc "$tree/proc"
mount --rbind /dev "$tree/dev"

mapfile -t pythons < <(cd "$tree/usr/bin" && compgen -G 'python3.[0-9]*' | grep -E '^python3\.[0-9]+$' | sort --version-sort)
echo "Pythons: ${pythons[*]}"
inside /src/tools/build.sh debug "${pythons[@]/#//usr/bin/}"

status=0
log=$tree/out/tests.log
: >"$log"
# Tests whose failure does not keep the others from running.
tests() {
    inside "$@" 2>&1 | tee -a "$log" || status=1
}
for python in "${pythons[@]}"; do
    echo "== engine with $python"
    tests PYO3_PYTHON="/usr/bin/$python" cargo test --locked --quiet --no-fail-fast --manifest-path /src/Cargo.toml \
        --package wsgi-runtime --target-dir "/out/$python"
done
live=()
for test in answers environ daemon executables interpreters modules python_api events scripts; do live+=(--test "$test"); done
for python in "${pythons[@]}"; do
    echo "== Apache with $python"
    [[ -x $tree/venv/$python/bin/python ]] || inside "$python" -m venv --without-pip "/venv/$python"
    # The module made with PyO3 is a package for the one Python of `make test`; tests/pythons has Debian's.
    tests WSGI_TEST_PYTHON="${python#python}" WSGI_TEST_VENV="/venv/$python" cargo test --locked --quiet --no-fail-fast \
        --manifest-path /src/Cargo.toml --package mod_wsgi "${live[@]}" -- --skip a_module_of_pyo3
    # The collector differs from release to release.
    tests WSGI_TEST_PYTHON="${python#python}" cargo test --locked --quiet --no-fail-fast --manifest-path /src/Cargo.toml \
        --package mod_wsgi --test telemetry collections::
done
echo "== several Pythons in one Apache"
tests WSGI_TEST_VENV="/venv/${pythons[0]}" cargo test --locked --no-fail-fast --manifest-path /src/Cargo.toml \
    --package mod_wsgi --test pythons -- --include-ignored
awk -v pythons="${pythons[*]}" -v seconds="$SECONDS" '
    /^test result:/ { passed += $4; failed += $6; ignored += $8 }
    END { printf "%s: %d passed, %d failed, %d ignored, %d s\n", pythons, passed, failed, ignored, seconds }' "$log"
exit "$status"
