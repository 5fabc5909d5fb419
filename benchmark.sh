#!/usr/bin/env bash
# Prints the figures of docs/figures.md: medians, each beside its limit in the same run.
# The tiled day is real (CLX5) if BATONICS_TEST_DATA is set; otherwise it is the sample in data/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export PYTHONPATH=.
python -m tests.bench.bench_fold
for part in frames forms convert jobs many_files lake venue venue_files history page process live requests; do
    printf '\n'
    python -m "tests.bench.bench_$part"
done
