#!/usr/bin/env bash
# Installs what building and testing need and is not there yet, on Debian 12 and 13.
set -euo pipefail

wanted=(apache2 apache2-dev libclang-dev clang gcc libc6-dev pkg-config python3-dev python3-venv curl nghttp2-client openssl)
missing=()
for package in "${wanted[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
command -v cargo >/dev/null || missing+=(cargo)

if ((${#missing[@]})); then
    command -v apt-get >/dev/null || {
        echo "setup: this script knows Debian only; install by hand: ${missing[*]}" >&2
        exit 1
    }
    sudo=()
    ((EUID == 0)) || sudo=(sudo)
    # Debian starts Apache's own service when the package is installed; nobody asked for a server on port 80.
    policy=/usr/sbin/policy-rc.d
    ours=
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
        "${sudo[@]}" chmod 755 "$policy"
        ours=1
    fi
    trap '[[ -z $ours ]] || "${sudo[@]}" rm -f "$policy"' EXIT
    "${sudo[@]}" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

version=$(cargo --version | sed -E 's/^cargo ([0-9]+)\.([0-9]+).*/\1 \2/')
read -r major minor <<<"$version"
if ((major < 1 || (major == 1 && minor < 85))); then
    echo "setup: cargo 1.85 or later is needed, this is $(cargo --version)." >&2
    echo "On Debian 12 install it from https://rustup.rs, with: curl https://sh.rustup.rs -sSf | sh" >&2
    exit 1
fi
