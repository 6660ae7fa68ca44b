#!/usr/bin/env bash
# Installs what the checks need and runs all of them. Needs Python 3.11 or newer; works in any folder.
# Options are given to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."

install_system_packages() {
    local sudo packages=()
    sudo=$([ "$(id -u)" = 0 ] || echo sudo)
    # The tests compile a small stand-in for NVIDIA's libnvidia-ml.so.1, open `web` in a real browser, and, as root,
    # submit jobs to a real Slurm on loopback, and give one folder two names.
    command -v cc >/dev/null || packages+=(gcc libc6-dev)
    command -v chromium chromium-browser google-chrome >/dev/null || packages+=(chromium)
    [ "$(id -u)" != 0 ] || command -v slurmctld >/dev/null || packages+=(slurm-wlm munge)
    [ "$(id -u)" != 0 ] || command -v bindfs >/dev/null || packages+=(bindfs)
    [ ${#packages[@]} = 0 ] && return
    $sudo apt-get update -q
    $sudo apt-get install -q -y --no-install-recommends "${packages[@]}"
}
install_system_packages & # while pip downloads
system_packages=$!

unset PYTHONDONTWRITEBYTECODE # the tests start a thousand processes, which then share compiled files

python3 -m venv .venv
.venv/bin/pip install --quiet --no-compile -c constraints.txt -e '.[dev]'
wait "$system_packages"

# Runs commands at the same time, and shows the output of each as a whole; fails if one of them fails.
run_together() {
    local outputs pids=() failed=() number
    outputs=$(mktemp -d)
    for number in $(seq $#); do
        bash -o pipefail -c "${!number}" >"$outputs/$number" 2>&1 &
        pids+=($!)
    done
    for number in $(seq $#); do
        wait "${pids[number - 1]}" || failed+=("${!number}")
        echo "+ ${!number}"
        cat "$outputs/$number"
    done
    rm -r "$outputs"
    [ ${#failed[@]} = 0 ] && return
    printf 'failed: %s\n' "${failed[@]}" >&2
    return 1
}

.venv/bin/ruff check .
.venv/bin/ruff format --check .
# The tests are collected once, so that not every worker has to compile all that they import.
run_together \
    ".venv/bin/mypy supervisor trainers benchmarks docs examples" \
    ".venv/bin/lint-imports && .venv/bin/sphinx-build -q -W --keep-going -b html docs build/docs" \
    ".venv/bin/python -m pytest --collect-only -qq | tail -n 30"

.venv/bin/python tests/run_tests.py "$@"
