#!/usr/bin/env bash
# Installs what building and testing need and is not there yet, on Debian 12 and 13.
set -euo pipefail

needed=1.85
wanted=(apache2 apache2-dev libclang-dev clang gcc libc6-dev pkg-config python3-dev python3-venv ca-certificates curl nghttp2-client openssl)
missing=()
for package in "${wanted[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
has_cargo() { command -v cargo >/dev/null; }

too_old() {
    echo "setup: cargo $needed or later is needed, $1." >&2
    [[ -z ${SUDO_USER:-} ]] || echo "Run make without sudo if $SUDO_USER has it." >&2
    echo "Install it from https://rustup.rs, and run make again in the same shell:" >&2
    echo "    curl -sSf https://sh.rustup.rs | sh -s -- -y && . \"\$HOME/.cargo/env\"" >&2
    exit 1
}

if ((${#missing[@]})) || ! has_cargo; then
    command -v apt-get >/dev/null || {
        has_cargo || missing+=(cargo)
        echo "setup: this script knows Debian only; install by hand: ${missing[*]}" >&2
        exit 1
    }
    # sudo forgets the environment.
    as_root=(env DEBIAN_FRONTEND=noninteractive)
    ((EUID == 0)) || as_root=(sudo "${as_root[@]}")
    "${as_root[@]}" apt-get update -qq
    candidate=
    if ! has_cargo; then
        candidate=$(LC_ALL=C apt-cache policy cargo | sed -n 's/^ *Candidate: //p')
        # That of Debian 12 is too old.
        if [[ $candidate == [0-9]* ]] && dpkg --compare-versions "$candidate" ge "$needed"; then missing+=(cargo); fi
    fi
    # Debian starts Apache's own service when the package is installed; nobody asked for a server on port 80.
    policy=/usr/sbin/policy-rc.d
    ours=
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
        "${as_root[@]}" chmod 755 "$policy"
        ours=1
    fi
    trap '[[ -z $ours ]] || "${as_root[@]}" rm -f "$policy"' EXIT
    ((${#missing[@]} == 0)) || "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    has_cargo || too_old "and the one of this Debian is ${candidate:-none}"
fi

version=$(cargo --version | sed -E 's/^cargo ([0-9]+\.[0-9]+).*/\1/')
dpkg --compare-versions "$version" ge "$needed" || too_old "this is $(cargo --version)"
