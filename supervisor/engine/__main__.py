"""The detached engine's process: `python -m pmssm.supervisor.engine LOGS STAMP`."""

# ruff: noqa: E402

from __future__ import annotations

import sys

# asyncio and hashlib do without OpenSSL where Python was built without it. The engine speaks no TLS and may live for
# weeks: 5 MB less of it.
for library in ("ssl", "_hashlib"):
    sys.modules[library] = None  # type: ignore[assignment]

import asyncio
import signal
from pathlib import Path

from ..session.folder import SessionError, SessionFolder
from ..session.journal import JournalError
from .engine import Engine, EngineBusy


async def serve(engine: Engine) -> None:
    """Serves the session. SIGTERM ends the engine alone: the runs go on, and any client starts it again."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, engine.leave)
    await engine.run(linger=True)


def main() -> int:
    """0 also when another engine has the logs folder: the client that started us talks to that one."""
    logs, stamp = sys.argv[1:]
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        asyncio.run(serve(Engine(SessionFolder(Path(logs), stamp))))
    except EngineBusy:
        return 0
    except (SessionError, JournalError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
