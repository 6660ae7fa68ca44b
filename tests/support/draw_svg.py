"""Draw README's images of the dashboard: `PYTHONPATH=tests python tests/support/draw_svg.py docs/images`.

They show the fixed session of the dashboard's tests, so runs, GPUs, users and losses are invented.
"""

import asyncio
import math
import re
import sys
import tempfile
from pathlib import Path

from pmssm.supervisor.gpus.models import Gpu, GpuProcess

from support.fake_engine import NOW, FakeEngine, some_gpus, until, until_shown

IMAGES = {(80, 24): "", (120, 36): "c", (200, 50): ""}  # size in cells, and the keys pressed before
SAMPLES = 120  # of the GPUs' history, 2 s apart


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


async def draw(folder: Path, size: tuple[int, int], keys: str) -> str:
    """Return the screen as SVG, with a local monospace font instead of a downloaded one."""
    engine = FakeEngine(folder)
    app = engine.app()
    async with app.run_test(size=size) as pilot:
        await until_shown(pilot, "best val", "Epoch 300/2000", "█▇")
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
