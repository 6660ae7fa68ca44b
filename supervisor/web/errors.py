"""Errors of the web server."""

from __future__ import annotations

from ..errors import UserError


class WebError(UserError):
    """The server can't serve; the message names the remedy on one line."""
