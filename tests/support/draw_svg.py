"""Draw README's images of the dashboard: `PYTHONPATH=tests python tests/support/draw_svg.py docs/images`.

They show the fixed session of the dashboard's tests, so runs, GPUs, users and losses are invented.
"""

import asyncio
import math
import re
import sys
import tempfile
import time
from pathlib import Path

from pmssm.supervisor.gpus.models import Gpu, GpuProcess
from pmssm.supervisor.plan.loader import builtin_plan

from support.fake_engine import NOW, PLAN, PROGRESS, FakeEngine, losses, some_gpus, until, until_shown

IMAGES = {(80, 24): "", (120, 36): "c", (200, 50): ""}  # size in cells, and the keys pressed before
SAMPLES = 120  # of the GPUs' history, 2 s apart
EPOCH_S = 12.0


def gpus_at(sample: int) -> tuple[Gpu, ...]:
    """Return the GPUs of the tests with processes and a periodic utilization."""
    idle, first, second, others = some_gpus()
    use = [round(85 + 14 * math.sin(sample / 5 + shift)) for shift in (0, 2)]
    ours = [
        gpu.model_copy(
            update={
                "utilization_percent": percent,
                "processes": (GpuProcess(pid=4711 + n, memory_mib=806, user="you", run=run),),
            }
        )
        for n, (gpu, percent, run) in enumerate(
            zip((first, second), use, ("transformer", "transformer_tabular"), strict=True)
        )
    ]
    theirs = others.model_copy(update={"processes": (GpuProcess(pid=977, memory_mib=29800, user="ana"),)})
    return (idle, *ours, theirs)


def trainers_log(run: str, epochs: int) -> str:
    """Return the lines that a trainer writes for a training with decreasing losses."""
    lines = []
    for epoch, (train, val) in enumerate(losses(epochs), 1):
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(NOW - EPOCH_S * (epochs - epoch)))
        scores = f"Train MSE = {train:.6f} | Val MSE = {val:.6f} | LR = 1.000000e-04"
        lines.append(f"{at} [info     ] {run:<20} | Epoch {epoch:04d} | {scores}\n")
    return "".join(lines)


def use_format_of_the_trainers(engine: FakeEngine) -> None:
    """Give the session the logs of the trainers and the patterns of the built-in plan."""
    pattern = builtin_plan().runs["transformer"].progress
    assert pattern is not None
    plan = PLAN.replace(PROGRESS, pattern).replace('"train", ', '"pmssm-surrogate", ').replace('"a b"', '"data"')
    (engine.folder / "plan.toml").write_text(plan)
    for run, epochs in (("transformer", 300), ("transformer_tabular", 200)):
        engine.log(run).write_text(trainers_log(run, epochs))


async def draw(folder: Path, size: tuple[int, int], keys: str) -> str:
    """Return the screen as SVG, with a local monospace font instead of a downloaded one."""
    engine = FakeEngine(folder)
    use_format_of_the_trainers(engine)
    app = engine.app()
    async with app.run_test(size=size) as pilot:
        await until_shown(pilot, "best val", "Epoch 0300", "█▇")
        for sample in range(SAMPLES):
            app.panes.resources.add_snapshot(
                engine.make_snapshot(gpus=gpus_at(sample), gpu_taken_at=NOW - SAMPLES + sample)
            )
        engine.publish(engine.make_snapshot(gpus=gpus_at(SAMPLES)))
        await pilot.press(*keys)
        await until(pilot, lambda: "ana" in str(app.panes.gpus._lines))
        app.panes.key_bar.clear_message()
        await pilot.pause(1.0)
        svg = app.export_screenshot(title="pmssm-supervise")
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"@font-face\s*\{.*?\}", "", svg, flags=re.DOTALL)
    return svg.replace("Fira Code", "DejaVu Sans Mono, Menlo, Consolas")


if __name__ == "__main__":
    for (columns, rows), pressed in IMAGES.items():
        with tempfile.TemporaryDirectory() as name:
            image = asyncio.run(draw(Path(name), (columns, rows), pressed))
        (Path(sys.argv[1]) / f"dashboard_{columns}x{rows}.svg").write_text(image)
