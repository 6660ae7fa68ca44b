#!/usr/bin/env bash
# Everything about a GPU in one call, on a bare machine that has PyTorch and no internet:
#
#     bash benchmarks/gpu_session.sh FOLDER [--seconds S] [--only PART ...]
#     DEVICE=cpu bash benchmarks/gpu_session.sh /tmp/x    # tries the script itself where there is no GPU
#
# Where packages are missing they are installed from .wheels/, which `bash benchmarks/gpu/wheels.sh download` fills
# beforehand. Parts, order and result files: benchmarks/gpu/session.py. Exits with 1 where a part fails.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:?give the folder for the results}
shift
export PYTHON=${PYTHON:-python3} PYTHONUNBUFFERED=1

packages=$(mktemp -d)
trap 'rm -rf "$packages"' EXIT
# Without an installation: a package `pmssm` made of links.
mkdir "$packages/pmssm"
ln -s "$PWD/supervisor" "$PWD/trainers" "$packages/pmssm/"
export PYTHONPATH=$packages${PYTHONPATH:+:$PYTHONPATH}
missing() {
    $PYTHON -c "import sys; from importlib.util import find_spec as find; print(*(m for m in sys.argv[1:] if not find(m)))" \
        torch numpy scipy pandas matplotlib sklearn threadpoolctl \
        click pydantic psutil pynvml textual tomli_w uproot awkward tabm rtdl_num_embeddings jinja2 pexpect pyte
}
if [ -n "$(missing)" ]; then
    echo "installing $(missing) from .wheels/"
    bash benchmarks/gpu/wheels.sh install "$packages" || true
    lacking=$(missing)
    [ -z "$lacking" ] || echo "still missing: $lacking; parts that need them will fail" >&2
fi
$PYTHON benchmarks/gpu/session.py "$folder" --device "${DEVICE:-cuda}" "$@"
