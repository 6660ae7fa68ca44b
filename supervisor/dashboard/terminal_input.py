"""Parser of what a terminal sends, on top of Textual's: no input ends the dashboard or blocks its keys.

Textual 8.2 trusts the terminal. docs/decisions/0008-own-terminal-input.md lists all cases. These are about input:

- a key or a mouse report with an impossible number raises in the thread that reads the keys, which ends the app;
- the start of a paste without its end takes every later key for pasted text, Ctrl+C included;
- a reply that Textual does not know (OSC, DCS, a long CSI) arrives as one key press per character. These may run
  commands, and 100,000 of them keep the app busy for minutes;
- an escape sequence within a paste arrives as key presses as well;
- any number is accepted as the size of the screen.

This parser therefore divides the input by the syntax of ECMA-48 first. Textual's parser gets typed text, and one whole
sequence at a time.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Generator, Iterator

from textual import constants
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual._xterm_parser import BRACKETED_PASTE_END, BRACKETED_PASTE_START, XTermParser
from textual.events import Key, Paste
from textual.message import Message
from textual.messages import InBandWindowResize

QUIET_S = 1.0  # a paste or a reply that does not continue for so long is over
MAX_SEQUENCE = 32  # characters; Textual's parser takes a longer one for key presses
MAX_TYPED = 256  # characters read at once; more of them are not typed
MAX_PASTE = 4096  # characters; the rest is dropped

_ESCAPE = "\x1b"
_SEQUENCE = re.compile(
    r"\x1b(?:\[\[."  # function keys of the Linux console
    r"|\[M.{3}"  # mouse, in its oldest form
    r"|\[(?![\[M])[0-?]*[ -/]*[@-~]"  # CSI
    r"|O[0-9;]*[@-~]"  # SS3
    r"|[\t -\U0010ffff](?<![\[O\]PX^_]))",  # Alt with a key
    re.DOTALL,
)
_UNFINISHED = re.compile(r"\x1b(?:\[(?:\[|M.{0,2}|[0-?]*[ -/]*)|O[0-9;]*|[\]PX^_])?", re.DOTALL)
_SIZE_REPORT = re.compile(r"\x1b\[48;.*t")  # the kernel reports the size
_STRING_START = re.compile(r"\x1b[\]PX^_]")  # OSC, DCS, SOS, PM, APC
_STRING_END = re.compile(r"\x1b\\|[\x07\x18\x1a\x9c]|(?=[\x00-\x1f\x7f])")  # a key with Ctrl ends it as well

_Rest = Generator[Message, None, str]  # yields messages, returns what is still to be read


class InputParser(XTermParser):
    """Textual's parser, protected from input that it does not expect.

    Args:
        clock: Returns a monotonic time, s.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._unread = ""  # start of a sequence whose end has not arrived
        self._pasted: str | None = None  # text of the paste that has started
        self._in_string = False  # in a reply of any length, such as OSC
        self._deadline = math.inf  # when an unfinished sequence, paste or reply is over

    def feed(self, data: str) -> Iterator[Message]:
        """Yield the messages for more input."""
        data, self._unread = self._unread + data, ""
        while data:
            if self._pasted is not None:
                data = yield from self._read_paste(self._pasted, data)
            elif self._in_string:
                data = self._skip_string(data)
            else:
                data = yield from self._read_keys(data)
        unfinished = constants.ESCAPE_DELAY if self._unread else math.inf
        is_long = self._in_string or self._pasted is not None
        self._deadline = self._clock() + (QUIET_S if is_long else unfinished)

    def tick(self) -> Iterator[Message]:
        """Yield the messages for input that has not continued in time; call it often."""
        if self._clock() < self._deadline:
            return
        unread, pasted = self._unread, self._pasted
        self._unread, self._pasted, self._in_string, self._deadline = "", None, False, math.inf
        if pasted is not None:
            yield Paste(pasted + unread)
        elif unread == _ESCAPE:
            yield Key("escape", _ESCAPE)
        elif len(unread) == 2 or unread in ANSI_SEQUENCES_KEYS:
            yield from self._parse_sequence(unread)

    def _read_paste(self, pasted: str, data: str) -> _Rest:
        text, end, rest = data.partition(BRACKETED_PASTE_END)
        if end:
            self._pasted = None
            yield Paste((pasted + text)[:MAX_PASTE].replace("\x00", ""))
            return rest
        held = len(BRACKETED_PASTE_END) - 1  # the end may have arrived in part
        self._pasted, self._unread = (pasted + text[:-held])[:MAX_PASTE], text[-held:]
        return ""

    def _skip_string(self, data: str) -> str:
        end = _STRING_END.search(data)
        if end is None:
            return ""
        if data[end.start() :] == _ESCAPE:  # perhaps the first half of the end
            self._unread = _ESCAPE
            return ""
        self._in_string = False
        return data[end.end() :]

    def _read_keys(self, data: str) -> _Rest:
        text, escape, after = data.partition(_ESCAPE)
        if text:
            yield from (Paste(text[:MAX_PASTE]),) if len(text) > MAX_TYPED else super().feed(text)
            return escape + after
        if data.startswith(BRACKETED_PASTE_START):
            self._pasted = ""
            return data.removeprefix(BRACKETED_PASTE_START)
        if sequence := _SEQUENCE.match(data):
            yield from self._parse_sequence(sequence[0])
            return data[sequence.end() :]
        unfinished = _UNFINISHED.match(data)
        assert unfinished is not None  # it matches the escape character alone
        if unfinished.end() == len(data):
            self._unread = data[: 2 * MAX_SEQUENCE]
            return ""
        if _STRING_START.match(data):
            self._in_string = True
        elif unfinished[0] == _ESCAPE:
            yield Key("escape", _ESCAPE)
        return data[unfinished.end() :]

    def _parse_sequence(self, sequence: str) -> Iterator[Message]:
        """Yield what Textual's parser makes of one sequence; nothing if it does not know it."""
        if len(sequence) > MAX_SEQUENCE or _SIZE_REPORT.match(sequence):
            return
        messages: list[Message] = []
        try:
            messages += super().feed(sequence)
            if self._awaiting.timeout is not None and len(sequence) == 2:  # Alt with a key
                self._timeout_time = -math.inf
                messages += super().tick()
        except (ValueError, ArithmeticError):  # no such character, or a size of zero
            messages.clear()
            self._start_over()
        if self._awaiting.timeout is not None:
            self._start_over()
        yield from (message for message in messages if _is_trusted(message))

    def _start_over(self) -> None:
        """Let Textual's parser forget the sequence that it is in."""
        self._tokens.clear()
        self._gen = self.parse(self._tokens.append)
        self._awaiting = next(self._gen)
        self._timeout_time = None


def _is_trusted(message: Message) -> bool:
    """Return whether the app can take the message: no half characters, no other way to report the size."""
    if isinstance(message, Key):
        return not any("\ud800" <= character <= "\udfff" for character in message.character or "")
    return not isinstance(message, InBandWindowResize)
