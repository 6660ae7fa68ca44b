"""Messages between clients and engine, one JSON object each."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class Message(BaseModel):
    """A message, sent as one line."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class GetSnapshot(Message):
    """Request for one snapshot."""

    verb: Literal["look"] = "look"


class Subscribe(Message):
    """Request for a snapshot now and at every change."""

    verb: Literal["subscribe"] = "subscribe"


class Stop(Message):
    """Request to end a run: gently (SIGTERM, grace period, SIGKILL), or at once."""

    verb: Literal["stop"] = "stop"
    run: str
    how: Literal["stop", "kill"] = "stop"


class Restart(Message):
    """Request for a new attempt of a run, after the end of the present one; `fresh` ignores the checkpoint."""

    verb: Literal["restart"] = "restart"
    run: str
    fresh: bool = False


class Start(Message):
    """Request to start a run that is not running; it resumes from its checkpoint."""

    verb: Literal["start"] = "start"
    run: str


class Down(Message):
    """Request to stop all runs gently and to end the session."""

    verb: Literal["down"] = "down"


Command = Stop | Restart | Start | Down
Request = Annotated[GetSnapshot | Subscribe | Command, Field(discriminator="verb")]


class Reply(Message):
    """The reply to a command, as a text for the user."""

    ok: bool
    message: str


requests: TypeAdapter[GetSnapshot | Subscribe | Command] = TypeAdapter(Request)
