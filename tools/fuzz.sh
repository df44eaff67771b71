#!/usr/bin/env bash
# fuzz.sh [TARGET…]: runs the fuzz targets (all of them if none is named) for FUZZ_SECONDS each. Ends with 1 where one of them
# found something; the input that did it is printed and kept. What was learned is kept in target/fuzz/corpus. With 0 seconds only
# the seeds are run, which is the same every time.
#
# Needs neither nightly nor cargo-fuzz: coverage comes from the stable compiler's options, and what is fuzzed is safe code, so
# that there is nothing for an address sanitizer to find. `cargo fuzz run TARGET` works too where it is installed.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${FUZZ_SECONDS:-60}
folder=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-target}")/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')

# The options that cargo-fuzz gives, but for the sanitizer. Arithmetic that overflows is a fault here.
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Coverflow-checks -Ccodegen-units=1"
# libFuzzer is C++.
command -v c++ >/dev/null || export CXX=clang++
# With --target, so that build scripts and macros are compiled without them.
CARGO_TARGET_DIR=$folder cargo build --manifest-path fuzz/Cargo.toml --locked --release --bins --target "$host"

targets=("$@")
if ((${#targets[@]} == 0)); then
    mapfile -t targets < <(find fuzz/fuzz_targets -name '*.rs' -printf '%f\n' | sed 's/\.rs$//' | sort)
fi
failed=()
for target in "${targets[@]}"; do
    corpus=$folder/corpus/$target
    found=$folder/found/$target
    mkdir -p "$corpus" "$found"
    seeds=()
    if [[ -d fuzz/seeds/$target ]]; then
        seeds=("fuzz/seeds/$target")
    fi
    limit=(-max_total_time="$seconds" "$corpus")
    if ((seconds == 0)); then
        limit=(-runs=0)
    fi
    log=$found/log
    status=0
    "$folder/$host/release/$target" -max_total_time="$seconds" -timeout=60 -rss_limit_mb=1024 -print_final_stats=1 -verbosity=1 \
        -artifact_prefix="$found/" "${limit[@]}" "${seeds[@]}" >"$log" 2>&1 || status=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    if ((status == 0)); then
        echo "$target: $runs runs, nothing found"
        continue
    fi
    failed+=("$target")
    echo "$target: FAILED"
    grep --max-count=12 --after-context=3 -E 'panicked at|ERROR: libFuzzer' "$log" || tail -n 20 "$log"
    input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
    if [[ -n $input ]]; then
        echo "input: $input"
        head --bytes=1024 "$input" | od -A d -t x1z
        echo "again: $folder/$host/release/$target $input"
    fi
done
if ((${#failed[@]} > 0)); then
    echo "found something: ${failed[*]}" >&2
    exit 1
fi
