"""The error of `web`."""

from __future__ import annotations


class WebError(Exception):
    """The server can't serve; the message names the remedy on one line."""
