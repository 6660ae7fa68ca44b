"""Options declared as fields of a frozen dataclass, so that an option and its value are one line apart.

A field has everything about its option: name, type, help, heading in `--help`, and which commands of a plan receive it.
Adding an option means adding a field.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import MISSING, Field, field, fields
from typing import Any, TypeVar

from .command import option

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_OPTION = "option"  # keys of a field's metadata
_ARGUMENT = "argument"
_PLACEHOLDERS = "placeholders"


def option_field(
    name: str,
    *,
    group: str,
    default: object = None,
    placeholders: Collection[str] = (),
    argument: Callable[[Any], str] = str,
    **attributes: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401 - the field's own type is the one that its class declares
    """Return a dataclass field that is also an option of the command line.

    Args:
        name: The option, such as `--batch-size`.
        group: Its heading in `--help`.
        default: The value without the option.
        placeholders: Placeholders of a plan whose commands receive the option.
        argument: Turns the value, or one value of a repeatable option, into the argument of those commands.
        attributes: Everything else that `click.option` takes.
    """
    metadata = {_OPTION: (name, {"group": group, **attributes}), _ARGUMENT: argument, _PLACEHOLDERS: placeholders}
    return field(default=default, metadata=metadata)


def options_of(declaring: type, *, groups: Collection[str] | None = None) -> Callable[[F], F]:
    """Return the decorator that adds the options of a dataclass to a command.

    Args:
        declaring: A dataclass of `option_field`s.
        groups: Headings whose options are added; None for all.
    """

    def add(function: F) -> F:
        for each in reversed(fields(declaring)):
            name, attributes = each.metadata[_OPTION]
            if groups is None or attributes["group"] in groups:
                function = option(name, each.name, default=_default(each), **attributes)(function)
        return function

    return add


def take_options(declaring: type[T], parameters: dict[str, Any]) -> T:
    """Build the dataclass from a command's parameters, and remove from these what it took."""
    names = [each.name for each in fields(declaring) if each.name in parameters]  # type: ignore[arg-type]
    return declaring(**{name: parameters.pop(name) for name in names})


def command_arguments(options: object, placeholder: str) -> list[str]:
    """Return the arguments that take the place of `placeholder` in a plan: the options that were given."""
    arguments: list[str] = []
    for each in fields(options):  # type: ignore[arg-type]
        value = getattr(options, each.name)
        if placeholder not in each.metadata[_PLACEHOLDERS] or value is None or value is False:
            continue
        name, _ = each.metadata[_OPTION]
        if value is True:
            arguments.append(name)
            continue
        for one in value if isinstance(value, tuple) else (value,):
            arguments += [name, each.metadata[_ARGUMENT](one)]
    return arguments


def _default(each: Field[Any]) -> object:
    return None if each.default is MISSING or each.default == () else each.default
