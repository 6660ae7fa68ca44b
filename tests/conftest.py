"""Fixtures shared by all tests."""

import gc
import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import settings
from support.cli_sandbox import CliSandbox
from support.fake_nvml import FakeGpu, FakeNvml, build, fake_gpu
from support.slurm_cluster import SlurmCluster, missing_reason
from support.test_order import order_for_workers

# Whoever runs us in the background ignores these, and every process that a test starts would inherit that.
for number, usual in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGQUIT, signal.SIG_DFL),
):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, usual)

gc.disable()  # until all tests are collected: modules and tests stay

settings.register_profile("unhurried", deadline=None)  # CI's cores are shared: slow is no failure
settings.load_profile("unhurried")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let every worker begin with long tests, so that none is left alone with one at the end."""
    items[:] = order_for_workers(items, duration_of, getattr(config, "workerinput", {}).get("workercount", 1))


def pytest_collection_finish() -> None:
    """Spare every later garbage collection the modules and tests, a tenth of the time of the dashboard's tests."""
    gc.enable()
    gc.freeze()


def duration_of(item: pytest.Item) -> float:
    """Return the seconds of the marker `long`, or 0."""
    mark = item.get_closest_marker("long")
    return 0.0 if mark is None else float(mark.args[0])


@pytest.fixture(scope="session")
def fake_nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fake libnvidia-ml.so.1, compiled once."""
    return build(tmp_path_factory.mktemp("fake_nvml"))


@pytest.fixture(scope="session")
def fake_nvml(fake_nvml_library: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., FakeNvml]:
    """Makes machines with fake GPUs: `fake_nvml(gpus=3)` or `fake_nvml(gpus=[fake_gpu(0), …])`; run with its `.env`."""

    def make(gpus: int | list[FakeGpu] = 3) -> FakeNvml:
        fake = FakeNvml(fake_nvml_library, tmp_path_factory.mktemp("machine") / "nvml.conf")
        fake.set(*(map(fake_gpu, range(gpus)) if isinstance(gpus, int) else gpus))
        return fake

    return make


@pytest.fixture(scope="session")
def env_without_nvml(tmp_path_factory: pytest.TempPathFactory, fake_nvml: Callable[..., FakeNvml]) -> dict[str, str]:
    """An environment in which no NVML can be loaded, whatever the machine has."""
    empty = tmp_path_factory.mktemp("no_nvml") / "libnvidia-ml.so.1"
    empty.touch()  # found first, and no library
    return fake_nvml(gpus=0).env | {"LD_LIBRARY_PATH": str(empty.parent)}


@pytest.fixture
def make_box(tmp_path: Path) -> Iterator[Callable[[Mapping[str, str]], CliSandbox]]:
    """Makes boxes with a given environment."""
    boxes: list[CliSandbox] = []
    with tempfile.TemporaryDirectory(prefix="pmssm-") as runtime:  # short enough for a socket

        def make(env: Mapping[str, str]) -> CliSandbox:
            folder = tmp_path / f"box{len(boxes)}"
            folder.mkdir()
            clean = {name: value for name, value in env.items() if name != "CUDA_VISIBLE_DEVICES"}
            boxes.append(CliSandbox(folder, Path(runtime), clean))
            return boxes[-1]

        yield make
        for box in boxes:
            box.close()


@pytest.fixture
def box(make_box: Callable[[Mapping[str, str]], CliSandbox], env_without_nvml: Mapping[str, str]) -> CliSandbox:
    """A box on a machine without GPUs."""
    return make_box({**os.environ, **env_without_nvml})


@pytest.fixture(scope="session")
def slurm_cluster() -> Iterator[SlurmCluster]:
    """A Slurm cluster that all tests of this worker share."""
    reason = missing_reason()
    if reason is not None:
        pytest.skip(reason)
    cluster = SlurmCluster.start()
    yield cluster
    cluster.stop()


@pytest.fixture
def cluster(slurm_cluster: SlurmCluster) -> Iterator[SlurmCluster]:
    """The shared cluster, whole and without jobs of earlier tests."""
    yield slurm_cluster
    slurm_cluster.repair()
    slurm_cluster.cancel_all()


@pytest.fixture
def slurm_box(
    make_box: Callable[[Mapping[str, str]], CliSandbox], env_without_nvml: Mapping[str, str], cluster: SlurmCluster
) -> CliSandbox:
    """A box on a login node of the shared cluster."""
    box = make_box({**os.environ, **env_without_nvml, **cluster.environment})
    box.env["XDG_CACHE_HOME"] = str(box.folder / "cache")
    return box
