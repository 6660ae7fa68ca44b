#!/usr/bin/env bash
# Installs what the tests need and runs all checks. Wants Python 3.11 or newer; works in any folder.
set -euo pipefail
cd "$(dirname "$0")/.."

install_system_packages() {
    local sudo packages=()
    sudo=$([ "$(id -u)" = 0 ] || echo sudo)
    # The tests compile a small stand-in for NVIDIA's libnvidia-ml.so.1, and look at `web` with a real browser.
    command -v cc >/dev/null || packages+=(gcc libc6-dev)
    command -v chromium chromium-browser google-chrome >/dev/null || packages+=(chromium)
    [ ${#packages[@]} = 0 ] && return
    $sudo apt-get update -q
    $sudo apt-get install -q -y --no-install-recommends "${packages[@]}"
}
install_system_packages & # while pip downloads
system_packages=$!

unset PYTHONDONTWRITEBYTECODE # the tests start a thousand processes: what is compiled once need not be compiled by each

python3 -m venv .venv
.venv/bin/pip install --quiet --no-compile -c constraints.txt -e '.[test]'
wait "$system_packages"

.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy supervisor trainers benchmarks
.venv/bin/lint-imports
# Many tests wait for processes, so twice as many workers as cores. What fails in that crowd is tried once more, alone:
# deadlines that a busy machine misses are no defect, and what fails twice is.
python=.venv/bin/python
$python -m pytest -n "$((2 * $(nproc)))" --dist worksteal --durations 15 "$@" || $python -m pytest --last-failed --last-failed-no-failures none "$@"
