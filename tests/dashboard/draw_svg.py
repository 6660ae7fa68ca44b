"""Draws README's picture of the dashboard: `python tests/dashboard/draw_svg.py docs/dashboard.svg`.

The session in it is the fixed one of the dashboard's tests: its runs, GPUs and losses are made up.
"""

import asyncio
import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from stage import Stage

SIZE = (112, 34)


async def draw(folder: Path) -> str:
    """The screen as SVG, with the reader's own monospace font in place of one from elsewhere."""
    stage = Stage(folder)
    stage.show()
    app = stage.app()
    async with app.run_test(size=SIZE) as pilot:
        for _ in range(20):  # the log and the losses are read by threads
            await pilot.pause(0.1)
        svg = app.export_screenshot(title="pmssm-supervise")
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"@font-face\s*\{.*?\}", "", svg, flags=re.DOTALL)
    return svg.replace("Fira Code", "DejaVu Sans Mono, Menlo, Consolas")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        Path(sys.argv[1]).write_text(asyncio.run(draw(Path(folder))))
