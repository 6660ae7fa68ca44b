"""The detached engine: `python -m pmssm.supervisor.engine LOGS STAMP`."""

# ruff: noqa: E402

from __future__ import annotations

import sys

# asyncio and hashlib work without OpenSSL, as in a Python built without it. The engine uses no TLS and may run for
# weeks; this saves 5 MB of memory.
for library in ("ssl", "_hashlib"):
    sys.modules[library] = None  # type: ignore[assignment]

import asyncio
import signal
from pathlib import Path

from ..errors import NO_PROCESS, UserError, is_process_limit
from ..session.folder import SessionFolder
from .engine import Engine, EngineBusy

# The last three are the warnings of batch systems before the end of a job.
SHUTDOWN_SIGNALS = (signal.SIGTERM, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)


async def serve(engine: Engine) -> None:
    """Serve the session. A signal ends the engine alone: the runs go on, and any client starts it again."""
    for number in SHUTDOWN_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, engine.request_shutdown)
    await engine.run(linger=True)


def main() -> int:
    """Run the engine and return its exit code.

    The code is 0 also if another engine serves the logs folder: the client that started us connects to that one.
    """
    logs, stamp = sys.argv[1:]
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        asyncio.run(serve(Engine(SessionFolder(Path(logs), stamp))))
    except EngineBusy:
        return 0
    except UserError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    except (OSError, RuntimeError) as error:
        if not isinstance(error, OSError) and not is_process_limit(error):
            raise
        print(NO_PROCESS if is_process_limit(error) else error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
