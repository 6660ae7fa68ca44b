"""Access control: the token, and checks that a request comes from a page of ours. Pure."""

from __future__ import annotations

import secrets

_LOCAL_NAMES = ("127.0.0.1", "localhost")


def new_token() -> str:
    """Return a random token for one server, 256 bits."""
    return secrets.token_urlsafe(32)


def is_valid_token(given: str, token: str) -> bool:
    """Return whether the given token is right, in a time that does not depend on it."""
    return secrets.compare_digest(given.encode("utf-8", "replace"), token.encode())


def is_allowed_host(host: str) -> bool:
    """Return whether a Host header names this machine; a foreign name that resolves to it is DNS rebinding.

    The port may be any: behind `ssh -L 9000:127.0.0.1:8765` the browser sends 9000, and a foreign page cannot choose
    the name.
    """
    name, colon, port = host.partition(":")
    return name in _LOCAL_NAMES and (not colon or (port.isascii() and port.isdigit()))


def is_allowed_origin(origin: str | None, host: str) -> bool:
    """Return whether a page of ours sent the request; browsers send the page's origin for every WebSocket."""
    return origin == f"http://{host}"


def content_policy(host: str) -> str:
    """Return the Content-Security-Policy with which the page can only connect to this server.

    Inline styles are allowed because the terminal places its cells with them. `ws:` is written out because 'self' does
    not include it in older browsers.
    """
    return (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'; img-src data:; "
        f"connect-src 'self' ws://{host}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
