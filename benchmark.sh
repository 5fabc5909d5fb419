#!/usr/bin/env bash
# The figures of README.md and ARCHITECTURE.md: medians, each beside its limit in the same run.
# With BATONICS_TEST_DATA set the tiled day is real (CLX5), else it is the shipped sample.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export PYTHONPATH=.
python -m tests.bench.bench_fold
for part in frames convert lake process live; do
    printf '\n'
    python -m "tests.bench.bench_$part"
done
