"""Who may come in: whoever has the token, by a page that we served ourselves. Pure."""

from __future__ import annotations

import secrets

_OURSELVES = ("127.0.0.1", "localhost")


def new_token() -> str:
    """A token that can't be guessed, for one server."""
    return secrets.token_urlsafe(32)


def is_valid_token(given: str, token: str) -> bool:
    """Whether it is the token; the time that takes says nothing about it."""
    return secrets.compare_digest(given.encode("utf-8", "replace"), token.encode())


def is_allowed_host(host: str) -> bool:
    """Whether a Host header means this machine, and no name that somebody has made to point here.

    Any port: behind `ssh -L 9000:127.0.0.1:8765` the browser says 9000, and a foreign page can't choose the name.
    """
    name, colon, port = host.partition(":")
    return name in _OURSELVES and (not colon or (port.isascii() and port.isdigit()))


def is_allowed_origin(origin: str | None, host: str) -> bool:
    """Whether it was a page of ours that asked; browsers name the asking page's origin for every WebSocket."""
    return origin == f"http://{host}"


def content_policy(host: str) -> str:
    """The Content-Security-Policy that keeps a page from asking anybody but us.

    The terminal places its cells by styles in the page. `ws:` is spelt out because older browsers' 'self' lacks it.
    """
    return (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'; img-src data:; "
        f"connect-src 'self' ws://{host}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
