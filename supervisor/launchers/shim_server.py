"""A warm interpreter from which shims are cloned: a clone costs a tenth of a new interpreter.

It runs as `python -I -S shim_server.py shim.py`, imports the shim once, and serves its parent, the engine, on its
standard input, a SOCK_SEQPACKET socket. Each request carries two descriptors: the shim's standard input, and the one
that the shim closes once the command has started. Through the former the new shim sends its pid, or the server a
negative errno. A server that dies while it clones therefore leaves no shim that the engine does not know.

The shims are children of the engine, not of this process: its death has no effect on them, and the engine reaps them.
It ends when the engine closes the socket or dies.
"""

from __future__ import annotations

import _socket  # not socket, whose imports would make every clone slower
import array
import ctypes
import gc
import importlib
import os
import signal
import struct
import sys

CLONE_PARENT = 0x8000  # linux/sched.h; the clone is a child of our parent
CLONE_NUMBERS = {"x86_64": 56, "aarch64": 220, "riscv64": 220, "loongarch64": 220, "ppc64le": 120}  # of the system call
REPLY = struct.Struct("i")
TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType


def serve(connection: _socket.socket, shim: ModuleType) -> None:
    """Answer requests until the engine closes the connection."""
    number = CLONE_NUMBERS.get(os.uname().machine)
    if number is None:
        return
    size = array.array("i").itemsize
    clone = ctypes.PyDLL(None, use_errno=True).syscall  # PyDLL keeps the interpreter's lock, as `os.fork` does
    while True:
        data, ancillary, _, _ = connection.recvmsg(1, _socket.CMSG_SPACE(2 * size))
        if not data:
            return
        descriptors = [one for _, _, raw in ancillary for one in array.array("i", raw[: 2 * size])]
        # Not `os.fork`, whose child would be ours. There is one thread, so nothing must be reset in the child.
        pid = clone(number, CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
        if pid == 0:
            _become_shim(shim, *descriptors)
        if pid < 0:
            _reply(descriptors[0], -ctypes.get_errno())
        for descriptor in descriptors:
            os.close(descriptor)


def _reply(stdin: int, number: int) -> None:
    try:
        os.write(stdin, REPLY.pack(number))
    except OSError:
        pass  # the engine is gone; a shim notices that next


def _become_shim(shim: ModuleType, stdin: int, ready: int) -> None:
    """Run one attempt in this process, and exit."""
    code = 1
    try:
        os.setsid()
        os.dup2(stdin, 0)  # closes our end of the connection, too
        _reply(0, os.getpid())
        os.dup2(ready, shim.READY)
        os.closerange(shim.READY + 1, os.sysconf("SC_OPEN_MAX"))
        shim.main()
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def main() -> None:
    """Import the shim and serve the engine."""
    sys.path.append(os.path.dirname(sys.argv[1]))
    shim = importlib.import_module("shim")
    signal.pthread_sigmask(signal.SIG_BLOCK, shim.HANDLED)  # what arrives before a shim is ready stays pending
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # inherited from the engine's parents
    gc.freeze()  # the garbage collector would write to pages that the clones share
    serve(_socket.socket(fileno=os.dup(0)), shim)


if __name__ == "__main__":
    main()
    os._exit(0)
