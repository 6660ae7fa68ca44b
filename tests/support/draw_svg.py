"""Draws README's pictures of the dashboard: `python tests/dashboard/draw_svg.py docs`.

The session in them is the fixed one of the dashboard's tests: its runs, GPUs, users and losses are made up.
"""

import asyncio
import math
import re
import sys
import tempfile
from pathlib import Path

from pmssm.supervisor.gpus.models import Gpu, GpuProcess

from support.fake_engine import NOW, FakeEngine, some_gpus, until, until_shown

PICTURES = {(80, 24): "", (120, 36): "c", (200, 50): ""}  # sizes in cells, and the keys pressed before
MOMENTS = 120  # of the GPUs' past, 2 s apart


def gpus_at(moment: int) -> tuple[Gpu, ...]:
    """The GPUs of the tests with processes, and busy in waves."""
    idle, first, second, others = some_gpus()
    use = [round(85 + 14 * math.sin(moment / 5 + shift)) for shift in (0, 2)]
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
    theirs = others.model_copy(update={"processes": (GpuProcess(pid=977, memory_mib=29800, user="somebody"),)})
    return (idle, *ours, theirs)


async def draw(folder: Path, size: tuple[int, int], keys: str) -> str:
    """The screen as SVG, with the reader's own monospace font in place of one from elsewhere."""
    engine = FakeEngine(folder)
    app = engine.app()
    async with app.run_test(size=size) as pilot:
        await until_shown(pilot, "best val", "Epoch 300/2000", "█▇")
        for moment in range(MOMENTS):
            app.panes.resources.add_snapshot(
                engine.make_snapshot(gpus=gpus_at(moment), gpu_taken_at=NOW - MOMENTS + moment)
            )
        engine.publish(engine.make_snapshot(gpus=gpus_at(MOMENTS)))
        await pilot.press(*keys)
        await until(pilot, lambda: "somebody" in str(app.panes.gpus._lines))
        app.panes.key_bar.clear_message()
        await pilot.pause(1.0)
        svg = app.export_screenshot(title="pmssm-supervise")
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"@font-face\s*\{.*?\}", "", svg, flags=re.DOTALL)
    return svg.replace("Fira Code", "DejaVu Sans Mono, Menlo, Consolas")


if __name__ == "__main__":
    for (columns, rows), pressed in PICTURES.items():
        with tempfile.TemporaryDirectory() as name:
            picture = asyncio.run(draw(Path(name), (columns, rows), pressed))
        (Path(sys.argv[1]) / f"dashboard_{columns}x{rows}.svg").write_text(picture)
