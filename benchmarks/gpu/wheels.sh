#!/usr/bin/env bash
# Wheels of what a GPU machine without internet lacks, for Python 3.12 on x86-64 Linux, and their installation there:
#
#     bash benchmarks/gpu/wheels.sh download          # here, into .wheels/ (which git ignores)
#     bash benchmarks/gpu/wheels.sh install FOLDER    # there, offline, into FOLDER; put it into PYTHONPATH
#
# PyTorch, NumPy, pandas, scikit-learn and matplotlib are expected on that machine. The versions are those of
# constraints.txt; `--no-deps` keeps their large dependencies out, so every package is named here, and
# tests/test_gpu_session.py compares the list with the metadata of the packages.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
wheels=$PWD/.wheels

supervisor=(click pydantic pydantic_core annotated-types typing-inspection typing_extensions psutil nvidia-ml-py tomli_w)
dashboard=(textual rich markdown-it-py mdurl mdit-py-plugins linkify-it-py platformdirs Pygments)
trainers=(uproot awkward awkward_cpp cramjam fsspec xxhash packaging Jinja2 MarkupSafe tabm rtdl_num_embeddings)
terminal=(pexpect ptyprocess pyte wcwidth) # the pseudo-terminal in which product.py looks at the dashboard

case ${1:-} in
download)
    rm -rf "$wheels"
    platforms=()
    for glibc in 2_28 2_27 2_26 2_24 2_17; do platforms+=(--platform "manylinux_${glibc}_x86_64"); done
    $python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
        --python-version 3.12 --implementation cp "${platforms[@]}" --platform manylinux2014_x86_64 \
        --constraint constraints.txt --dest "$wheels" \
        "${supervisor[@]}" "${dashboard[@]}" "${trainers[@]}" "${terminal[@]}"
    du -sh "$wheels"
    ;;
install)
    compgen -G "$wheels/*.whl" >/dev/null || {
        echo "no wheels in $wheels: run 'bash benchmarks/gpu/wheels.sh download' where there is internet" >&2
        exit 2
    }
    $python -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-compile --no-cache-dir \
        --upgrade --target "${2:?give the folder to install into}" "$wheels"/*.whl
    ;;
*)
    echo "usage: bash benchmarks/gpu/wheels.sh download | install FOLDER" >&2
    exit 2
    ;;
esac
