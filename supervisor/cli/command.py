"""Commands of `click` as we use them: options under headings, errors in one line."""

from __future__ import annotations

import atexit
import contextlib
import gc
import signal
import sys
from collections.abc import Callable, Iterator
from typing import IO, Any, TypeVar

import click

from ..errors import NO_PROCESS, UserError, is_process_limit
from ..formatting import printable_line
from .output import echo_error, prepare_output

F = TypeVar("F", bound=Callable[..., Any])

INTERRUPTED = 128 + signal.SIGINT  # exit code


class CommandError(click.ClickException):
    """A command that cannot be carried out: one clear line, exit code 2."""

    exit_code = 2

    def show(self, file: IO[str] | None = None) -> None:  # noqa: ARG002 - as click has it
        """Print the line."""
        echo_error(f"pmssm-supervise: {printable_line(self.message)}")


class GroupedOption(click.Option):
    """An option that `--help` lists under a heading.

    Attributes:
        group: The heading; None for the last one, `Options`.
    """

    def __init__(self, *arguments: Any, group: str | None = None, **attributes: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, **attributes)
        self.group = group


def option(*declarations: str, group: str | None = None, **attributes: Any) -> Callable[[F], F]:  # noqa: ANN401
    """Return the decorator that adds an option, as `click.option` does, under the heading `group`."""
    return click.option(*declarations, cls=GroupedOption, group=group, **attributes)


class Command(click.Command):
    """A command whose `--help` lists its options under headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options."""
        _write_options(self, ctx, formatter)


class CommandGroup(click.Group):
    """A command with verbs that shows each error with a remedy as one line; all else keeps its traceback."""

    command_class = Command

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs and the options."""
        self.format_commands(ctx, formatter)
        _write_options(self, ctx, formatter)

    def main(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - as click has it
        """Run the command line and exit."""
        # At its exit the interpreter searches all objects for cycles, which costs a fifth of `status`.
        atexit.register(gc.freeze)
        prepare_output()
        return super().main(*arguments, **options)

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,  # noqa: ANN401
    ) -> click.Context:
        """Parse the options before the verb."""
        with _one_line_errors():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> object:
        """Run the verb."""
        try:
            with _one_line_errors():
                return super().invoke(ctx)
        except KeyboardInterrupt:  # without click's "Aborted!", as other programs end
            sys.exit(INTERRUPTED)
        except UserError as error:
            raise CommandError(str(error)) from None
        except FileNotFoundError as error:
            if error.filename is not None:
                raise
            raise CommandError("the present folder was deleted; go to another one") from None
        except (OSError, RuntimeError) as error:
            if not is_process_limit(error):
                raise
            raise CommandError(NO_PROCESS) from None


@contextlib.contextmanager
def _one_line_errors() -> Iterator[None]:
    """Turn click's errors on the command line into `CommandError`."""
    try:
        yield
    except click.UsageError as error:
        raise CommandError(f"{' '.join(error.format_message().split()).rstrip('.')}; see --help") from None


def _write_options(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """Write the options under their headings, in the order in which these are first used."""
    sections: dict[str, list[tuple[str, str]]] = {}
    last: list[tuple[str, str]] = []
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is None or not isinstance(param, click.Option):
            continue
        group = getattr(param, "group", None)
        (last if group is None else sections.setdefault(group, [])).append(record)
    for heading, records in {**sections, "Options": last}.items():
        with formatter.section(heading):
            formatter.write_dl(records)
