"""Every relative link of every Markdown file leads to a file, and to a heading of it."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"(?<!`)\[[^]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def markdown_files() -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout.split("\n")
    return [ROOT / name for name in names if name and (ROOT / name).exists()]


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", markdown_files(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", markdown_files(), ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_in_the_text_exist(page: Path) -> None:
    paths = re.findall(r"`((?:supervisor|trainers|tests|docs|examples|benchmarks)/[\w./-]+)`", page.read_text("utf-8"))
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_readme_is_short() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 120
    assert [line for line in lines if len(line) > 100 and not line.startswith("|")] == []


def test_every_page_is_in_a_table_of_contents() -> None:
    docs = ROOT / "docs"
    listed = set()
    for index in docs.rglob("index.md"):
        for toctree in re.findall(r"```\{toctree\}(.*?)```", index.read_text(encoding="utf-8"), re.DOTALL):
            entries = [line for line in toctree.splitlines() if line and not line.startswith(":")]
            listed |= {(index.parent / f"{entry}.md").resolve() for entry in entries}
    pages = {page.resolve() for page in markdown_files() if page.is_relative_to(docs)}
    assert pages - listed == {docs / "index.md"}
