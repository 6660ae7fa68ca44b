#!/usr/bin/env bash
# Everything about a GPU in one call of at most 8 minutes, on a bare machine that has PyTorch and NumPy:
#
#     bash benchmarks/gpu_session.sh [FOLDER]          # of the results; benchmarks/results if left out
#     DEVICE=cpu bash benchmarks/gpu_session.sh /tmp/x # tries the script itself where there is no GPU
#
# Correctness first; then baseline and ours side by side, ensembles, a profile, three models in turn and at once.
# The tables go to FOLDER/<name of the device>.md. Exits with 1 where a check fails; a part that runs out of time says so.
set -uo pipefail
cd "$(dirname "$0")/.."
device=${DEVICE:-cuda}
python=${PYTHON:-python3}
folder=$(mkdir -p "${1:-benchmarks/results}" && cd "${1:-benchmarks/results}" && pwd)
deadline=$((SECONDS + 470))

# Without an installation: a package `pmssm` made of links.
package=$(mktemp -d)
trap 'rm -rf "$package"' EXIT
mkdir "$package/pmssm"
ln -s "$PWD/trainers" "$package/pmssm/trainers"
export PYTHONPATH=$package${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1

name=$($python -c "
import platform, sys, torch
print((torch.cuda.get_device_name() if '$device' == 'cuda' else platform.processor() or 'cpu').replace(' ', '_').replace('/', '_'))
") || exit 1
report=$folder/$name.md
printf '# %s\n\n' "$name" >"$report"
$python -c "import torch; print('torch', torch.__version__, 'CUDA', torch.version.cuda)" | tee -a "$report"
status=0

part() { # title, seconds, command ...: runs it with the time that is left, into the report
    local title=$1 limit=$2
    shift 2
    local left=$((deadline - SECONDS))
    ((limit = limit < left ? limit : left))
    printf '\n## %s\n\n    %s\n\n' "$title" "$*" | tee -a "$report"
    if ((limit < 5)); then
        echo "no time left" | tee -a "$report"
        return 0
    fi
    timeout "$limit" "$@" 2>/dev/null | tee -a "$report"
    local code=${PIPESTATUS[0]}
    ((code == 124)) && echo "ended after $limit s" | tee -a "$report"
    return "$code"
}

if [ "$device" = cuda ]; then
    rounds=5 steps=() few=() sizes=(1 4 16)
else
    rounds=1 steps=(--steps 1) few=(--models mlp) sizes=(1 2)
fi
part "Correctness" 90 $python benchmarks/gpu_check.py --device "$device" "${few[@]}" || status=1
part "Baseline and ours" 100 $python benchmarks/train_step.py --device "$device" --rounds "$rounds" "${steps[@]}" "${few[@]}" \
    --output "$folder/train_step_$name"
part "One step" 30 $python benchmarks/train_step.py --device "$device" --profile "${few[@]}"
if [ "$device" = cuda ]; then
    part "Baseline and ours, compiled" 180 $python benchmarks/train_step.py --device cuda --rounds 3 --compile \
        --output "$folder/train_step_compiled_$name"
    part "Correctness, compiled" 60 $python benchmarks/gpu_check.py --device cuda --models mlp --compile || status=1
    part "Baseline and ours, bf16" 60 $python benchmarks/train_step.py --device cuda --rounds 3 --precision bf16 \
        --output "$folder/train_step_bf16_$name"
fi
part "Ensembles" 60 $python benchmarks/ensemble.py --device "$device" --sizes "${sizes[@]}" --rounds "$rounds" "${few[@]}"
part "Three models in turn and at once" 60 $python benchmarks/sharing.py --device "$device" "${few[@]}"
echo "report: $report"
exit $status
