#!/usr/bin/env bash
# Installs what building and testing need and is not there yet, on Debian 12 and 13.
set -euo pipefail

wanted=(apache2 apache2-dev libclang-dev clang gcc libc6-dev pkg-config python3-dev python3-venv curl nghttp2-client openssl)
missing=()
for package in "${wanted[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done

too_old() {
    echo "setup: $1 cargo 1.85 or later is needed; Debian 13 has it, Debian 12 does not. Install it from https://rustup.rs with:" >&2
    echo "    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y && . ~/.cargo/env" >&2
    exit 1
}

if command -v cargo >/dev/null; then
    read -r major minor < <(cargo --version | sed -E 's/^cargo ([0-9]+)\.([0-9]+).*/\1 \2/')
    if ((major < 1 || (major == 1 && minor < 85))); then
        too_old "$(command -v cargo) is $(cargo --version)."
    fi
else
    missing+=(cargo)
fi

if ((${#missing[@]})); then
    command -v apt-get >/dev/null || {
        echo "setup: this script knows Debian only; install by hand: ${missing[*]}" >&2
        exit 1
    }
    sudo=()
    ((EUID == 0)) || sudo=(sudo)
    "${sudo[@]}" apt-get update -qq
    if [[ " ${missing[*]} " == *" cargo "* ]]; then
        offered=$(apt-cache policy cargo | sed -n 's/^ *Candidate: //p')
        dpkg --compare-versions "${offered:-0}" ge 1.85 || too_old "There is no cargo, and the distribution's is ${offered:-missing}."
    fi
    # Debian starts Apache's own service when the package is installed; nobody asked for a server on port 80.
    policy=/usr/sbin/policy-rc.d
    ours=
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
        "${sudo[@]}" chmod 755 "$policy"
        ours=1
    fi
    trap '[[ -z $ours ]] || "${sudo[@]}" rm -f "$policy"' EXIT
    DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
