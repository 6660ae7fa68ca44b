"""Sphinx configuration: `sphinx-build -W -b html docs build/docs`."""

import re
from importlib.metadata import version as installed_version

from sphinx.application import Sphinx

project = "pmssm-supervise"
author = copyright = "pmssm-supervise contributors"
release = version = installed_version("pmssm-supervise")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
nitpicky = False  # types of numpy and torch have no pages here

myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True

html_theme = "furo"
html_title = f"pmssm-supervise {release}"
html_copy_source = False

_LINK_TO_PAGE_OUTSIDE = re.compile(
    r"\[([^]]+)\]\((?:\.\./)+((?:benchmarks|supervisor|trainers)/[^)#]*|[A-Z]+\.md)(?:#[^)]*)?\)"
)


def _name_pages_outside(_app: Sphinx, _page: str, source: list[str]) -> None:
    """Replace links to files that are no part of the site: name them by their path in the repository."""
    source[0] = _LINK_TO_PAGE_OUTSIDE.sub(_named, source[0])


def _named(link: re.Match[str]) -> str:
    text, path = link.groups()
    return f"`{path}`" if text.strip("`") == path else f"{text} (`{path}`)"


def setup(app: Sphinx) -> None:
    """Connect the extension of this file."""
    app.connect("source-read", _name_pages_outside)
