"""Settings of a trainer process before it imports torch."""

import subprocess
import sys
from pathlib import Path

import pytest

SETTINGS = """
import os
from pmssm.trainers.process_tuning import tune_process
tune_process()
print(os.environ["GOMP_SPINCOUNT"], os.environ["TORCHINDUCTOR_CACHE_DIR"])
"""

# Prints also whether the kernel was advised to use huge pages at an address in the heap.
SETTINGS_AND_ADVICE = f"""{SETTINGS}
import re, torch
block = torch.zeros(1 << 22)
address = block.data_ptr() + (1 << 23)
advised = None
for line in open("/proc/self/smaps"):
    if span := re.match("([0-9a-f]+)-([0-9a-f]+) ", line):
        inside = int(span[1], 16) <= address < int(span[2], 16)
    elif line.startswith("VmFlags:") and inside:
        advised = "hg" in line.split()
print(advised)
"""


def tuned(code: str, **env: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    return done.stdout.split()


def test_tensors_lie_in_memory_with_huge_pages_requested() -> None:
    setting = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not setting.exists() or "[never]" in setting.read_text():
        pytest.skip("this kernel has no huge pages to ask for")
    assert tuned(SETTINGS_AND_ADVICE, HOME="/home/somebody") == ["1000", "/home/somebody/.cache/pmssm-trainers", "True"]


def test_environment_variables_of_the_user_are_respected() -> None:
    spins, cache = tuned(SETTINGS, GOMP_SPINCOUNT="7", TORCHINDUCTOR_CACHE_DIR="/somewhere")
    assert (spins, cache) == ("7", "/somewhere")
