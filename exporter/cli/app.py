"""The command group: finds commands, and turns every failure into one sentence and an exit code."""

from __future__ import annotations

import difflib
import errno
import importlib
import traceback
from typing import IO, Any

import click

from coopdraw.exporter.cli.debug import debug_option, is_debugging
from coopdraw.graphs.errors import CoopdrawError

COMMANDS = ("compile", "cost", "run", "serve", "verify", "inspect", "explain", "diff", "report", "kernels", "doctor")
"""In the order of `coopdraw --help`; each is a module of this package with a `command`."""

BAD_INPUT = 2
INTERNAL_ERROR = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED = 130  # 128 + SIGINT, as shells have it

_OS_FIXES = {
    errno.ENOSPC: "free some space or write elsewhere",
    errno.EDQUOT: "free some space or write elsewhere",
    errno.EACCES: "change its permissions or use another place",
    errno.EPERM: "change its permissions or use another place",
    errno.EROFS: "use another place",
    errno.ENOENT: "correct the path",
}


class Failure(click.ClickException):
    """A failure to be shown: one `error:` line for each line of the message."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code: int = exit_code  # type: ignore[misc]

    def show(self, file: IO[Any] | None = None) -> None:
        for line in self.message.splitlines():
            click.echo(f"error: {line}", file=file, err=True)


class App(click.Group):
    """A group whose commands are imported on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"coopdraw.exporter.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        similar = difflib.get_close_matches(args[0], COMMANDS, n=1)
        if args[0] not in COMMANDS and similar:
            ctx.fail(f"there is no command {args[0]}, did you mean {similar[0]}?")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise  # click's own ways to stop
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None
        except Exception as error:
            if is_debugging(ctx):
                traceback.print_exc()
            raise _failure(error) from None


def _failure(error: Exception) -> Failure:
    if isinstance(error, CoopdrawError):
        return Failure(str(error), error.exit_code)
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        fix = _OS_FIXES.get(error.errno or 0, "use another place")
        return Failure(f"{place}{error.strerror}; {fix}", BAD_INPUT)
    if isinstance(error, MemoryError):
        return Failure("there is not enough memory; close other programs or use a smaller batch", BAD_INPUT)
    return Failure(
        f"internal error: {type(error).__name__}: {error}; run again with --debug and report it", INTERNAL_ERROR
    )


@click.command(cls=App, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@debug_option
@click.version_option(package_name="coopdraw", message="%(prog)s %(version)s")
def app() -> None:
    """Compiles PanGu-Draw diffusion pipelines into one static MindIR sampling graph.

    \b
    Examples:
      coopdraw compile shapes.toml -o shapes.bundle
      coopdraw run shapes.bundle --prompt "red ring striped blue" -o ring.png
      coopdraw inspect shapes.bundle

    Exit codes: 0 done, 1 a check failed, 2 bad input.
    """
