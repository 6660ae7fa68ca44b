"""The parser of the terminal's input: what it passes on, and that it never gets stuck."""

import random

import pytest
from pmssm.supervisor.dashboard.terminal_input import MAX_PASTE, QUIET_S, InputParser
from textual.events import Key, MouseDown, Paste
from textual.message import Message


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def parse(*pieces: str) -> list[Message]:
    """Return the messages for pieces that arrive together, then silence."""
    clock = Clock()
    parser = InputParser(clock)
    messages = [message for piece in pieces for message in parser.feed(piece)]
    clock.now += 2 * QUIET_S
    return [*messages, *parser.tick()]


def keys(*pieces: str) -> list[str]:
    return [message.key for message in parse(*pieces) if isinstance(message, Key)]


@pytest.mark.parametrize(
    "data",
    [
        "\x1b[99999999999;5u",  # no such character
        "\x1b[1114112u",
        "\x1b[97;1;99999999999u",
        "\x1b[55296u",  # half of a surrogate pair, which no output can carry
        "\x1b[97;1;55296u",
        "\x1b[24;80;0;0t",
        "\x1b[48;99999;99999;0;0t",  # sizes
        "\x1b[48;0;0;0;0t\x1b[<64;2;2M\x1b[48;24;80;0;0t",
        "\x1b[?2048;1$y",
        "\x1b[?62;1;6;9;15;22;29c",  # replies with letters that are keys of the dashboard
        "\x1b[>41;354;0c",
        "\x1b[1;2;3;4;5;6;7;8;9;10;11;12;13;14;15;16x",
        "\x1b[" + "1" * 10_000 + "x",
        "\x1b]52;c;" + "A" * 100_000 + "\x07",
        "\x1b]11;rgb:0000/0000/0000\x1b\\",
        "\x1bP>|XTerm(390)\x1b\\",
        "\x1b_Gi=1;OK\x1b\\",
        "\x1b]52;c;AAA",  # without an end
        "\x1bPxxxx",
        "\x1b[200~x\x1b[31mxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\x1bx\x1b[201~",
        "\x1b[200~xyx",
        "\x1b[201~",
        "x" * 4096,  # not typed
    ],
)
def test_input_that_no_user_has_typed_presses_no_key(data: str) -> None:
    assert {key for key in keys(data) if key not in ("a", "scroll_up")} == set()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("q", ["q"]),
        ("\x03", ["ctrl+c"]),
        ("\x1a", ["ctrl+z"]),
        ("\x1b", ["escape"]),
        ("\x1b\x1b", ["escape", "escape"]),
        ("\x1b\x03", ["escape", "ctrl+c"]),
        ("\x1b[A\x1bOB\x1b[5~\x1b[1;5C", ["up", "down", "pageup", "ctrl+right"]),
        ("\x1b[[A\x1b[23$", ["f1", "f23"]),
        ("\x1b[122;5u\x1b[97;1;97u", ["ctrl+z", "a"]),
        ("\x1bq", ["alt+q"]),
        ("\x1bO", ["alt+shift+o"]),
        ("\x1b[12\x03q", ["ctrl+c", "q"]),
        ("\x1b]0;title\x03q", ["ctrl+c", "q"]),
        ("\x1b[9999;9999;9999xq", ["q"]),
        ("ä€😀", ["ä", "euro_sign", "grinning_face"]),
    ],
)
def test_keys_arrive_whole_and_in_pieces(data: str, expected: list[str]) -> None:
    assert keys(data) == expected
    assert keys(*data) == expected


def test_a_paste_arrives_as_one_text_whole_and_in_pieces() -> None:
    data = "\x1b[200~two\nlines \x1b[31m\x1b[201~q"
    for pieces in ([data], list(data)):
        paste, key = parse(*pieces)
        assert isinstance(paste, Paste) and paste.text == "two\nlines \x1b[31m"
        assert isinstance(key, Key) and key.key == "q"


def test_a_paste_without_its_end_ends_by_itself_and_stays_small() -> None:
    messages = parse("\x1b[200~", *["A" * 4096] * 100)
    assert len(messages) == 1
    assert isinstance(messages[0], Paste) and MAX_PASTE <= len(messages[0].text) < MAX_PASTE + 10


def test_mouse_reports_arrive_even_after_an_absurd_size() -> None:
    messages = parse("\x1b[48;0;0;0;0t\x1b[<0;10;5M")
    assert [type(message) for message in messages] == [MouseDown]


def test_no_random_input_raises_or_swallows_the_key_that_follows_it() -> None:
    pick = random.Random(14)
    parts = [
        "\x1b",
        "[",
        "]",
        "P",
        "O",
        "<",
        "?",
        ";",
        ":",
        "0",
        "9" * 12,
        "48",
        "200~",
        "201~",
        "u",
        "t",
        "M",
        "m",
        "R",
        "$y",
    ]
    parts += ["\x07", "\x03", "\x00", "\x9b", "\x9c", "\ufffd", "\u202e", "x", "é"]
    for _ in range(3000):
        clock = Clock()
        parser = InputParser(clock)
        for _ in range(pick.randrange(1, 12)):
            list(parser.feed("".join(pick.choices(parts, k=pick.randrange(1, 8)))))
        clock.now += 2 * QUIET_S
        list(parser.tick())
        assert [message.key for message in parser.feed("q") if isinstance(message, Key)] == ["q"]
