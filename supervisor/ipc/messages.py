"""The messages between clients and engine, one JSON object each."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class Message(BaseModel):
    """One line on the wire."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class GetSnapshot(Message):
    """Asks for one snapshot."""

    verb: Literal["look"] = "look"


class Subscribe(Message):
    """Asks for a snapshot now and at every change."""

    verb: Literal["subscribe"] = "subscribe"


class Stop(Message):
    """Ends a run: gently (SIGTERM, grace, SIGKILL), or at once."""

    verb: Literal["stop"] = "stop"
    run: str
    how: Literal["stop", "kill"] = "stop"


class Restart(Message):
    """Starts a new attempt of a run, after stopping the present one; `fresh` forgets the checkpoint."""

    verb: Literal["restart"] = "restart"
    run: str
    fresh: bool = False


class Start(Message):
    """Starts a run that is not running; it resumes from its checkpoint."""

    verb: Literal["start"] = "start"
    run: str


class Down(Message):
    """Stops every run gently and ends the session."""

    verb: Literal["down"] = "down"


Command = Stop | Restart | Start | Down
Request = Annotated[GetSnapshot | Subscribe | Command, Field(discriminator="verb")]


class Reply(Message):
    """The answer to a command, in words for the user."""

    ok: bool
    message: str


requests: TypeAdapter[GetSnapshot | Subscribe | Command] = TypeAdapter(Request)
