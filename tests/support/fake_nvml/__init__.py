"""A machine with fake GPUs, which the real pynvml reads through a fake libnvidia-ml.so.1 (nvml.c).

fake = fake_nvml(gpus=3)                          # the fixture, in tests/conftest.py
subprocess.run([...], env=fake.env)
fake.set(fake_gpu(0), fake_gpu(1, errors={"*": "GPU_IS_LOST"}))     # while it runs
"""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pynvml


@dataclass(frozen=True, kw_only=True)
class FakeGpu:
    """The values that NVML returns for one GPU, or one MIG device.

    Attributes:
        errors: NVML function, or "*" for all of them, to the error that it returns, such as "GPU_IS_LOST".
        hangs: NVML function to the seconds for which it hangs.
        processes: pid to memory in MiB; None if the driver does not report it.
        mig: The MIG devices if MIG mode is on; None for an index without one.
    """

    uuid: str
    name: bytes = b"NVIDIA Fake H100"
    used_mib: int = 3
    total_mib: int = 81559
    utilization: int = 0
    temperature: int = 40
    power_mw: int = 61500
    processes: Mapping[int, int | None] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    hangs: Mapping[str, int] = field(default_factory=dict)
    mig: tuple["FakeGpu | None", ...] | None = None

    def lines(self, device: str) -> list[bytes]:
        """Return the lines for this GPU in the file that nvml.c reads, where it is called `device`."""
        processes = ",".join(f"{pid}:{'-' if mib is None else mib}" for pid, mib in self.processes.items())
        lines = [b"%s name %s" % (device.encode(), self.name)]
        lines += [
            f"{device} {key} {value}".encode()
            for key, value in {
                "uuid": self.uuid,
                "memory_used_mib": self.used_mib,
                "memory_total_mib": self.total_mib,
                "utilization": self.utilization,
                "temperature": self.temperature,
                "power_mw": self.power_mw,
                "processes": processes,
            }.items()
        ]
        lines += _faults(device, self.errors, self.hangs)
        if self.mig is not None:
            lines.append(f"{device} mig {len(self.mig)}".encode())
            for at, part in enumerate(self.mig):
                lines += [] if part is None else part.lines(f"{device}.{at}")
        return lines


def fake_gpu(number: int, **fields: object) -> FakeGpu:
    """Return a fake GPU whose UUID has the serial `number`; `fields` as in FakeGpu."""
    return FakeGpu(**{"uuid": f"GPU-{number:08x}-0000-4000-8000-{number:012x}", **fields})  # type: ignore[arg-type]


class FakeNvml:
    """The file that the fake libnvidia-ml.so.1 reads, and the environment in which programs find both."""

    def __init__(self, library: Path, config: Path) -> None:
        self._config = config
        inherited = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
        self.env = inherited | {"LD_LIBRARY_PATH": str(library.parent), "FAKE_NVML_CONFIG": str(config)}

    def set(
        self, *gpus: FakeGpu, errors: Mapping[str, str] | None = None, hangs: Mapping[str, int] | None = None
    ) -> None:
        """Set the GPUs of the machine, in this order, from the next NVML call on.

        `errors` and `hangs` apply to the functions that do not concern one GPU: nvmlInitWithFlags,
        nvmlShutdown, nvmlDeviceGetCount_v2.
        """
        lines = [b"nvml gpus %d" % len(gpus), *_faults("nvml", errors or {}, hangs or {})]
        for index, gpu in enumerate(gpus):
            lines += gpu.lines(str(index))
        side_file = self._config.with_suffix(".new")
        side_file.write_bytes(b"\n".join([*lines, b""]))
        side_file.replace(self._config)


def build(folder: Path) -> Path:
    """Compile libnvidia-ml.so.1 into `folder` and return its path."""
    library = folder / "libnvidia-ml.so.1"
    source = Path(__file__).with_name("nvml.c")
    flags = ["-shared", "-fPIC", "-O1", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-Wl,-soname,libnvidia-ml.so.1"]
    subprocess.run(["cc", *flags, "-o", str(library), str(source)], check=True)
    return library


def _faults(device: str, errors: Mapping[str, str], hangs: Mapping[str, int]) -> list[bytes]:
    codes = {function: getattr(pynvml, f"NVML_ERROR_{name}") for function, name in errors.items()}
    lines = [f"{device} error.{function} {code}" for function, code in codes.items()]
    lines += [f"{device} hang.{function} {seconds}" for function, seconds in hangs.items()]
    return [line.encode() for line in lines]
