"""The `--debug` option, which every command and the group take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])

_KEY = "coopdraw.debug"


def _remember(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    # The group's and the command's contexts share `meta`; neither may undo the other's --debug.
    ctx.meta[_KEY] = value or is_debugging(ctx)


def is_debugging(ctx: click.Context) -> bool:
    """Whether --debug was given anywhere on the command line."""
    return bool(ctx.meta.get(_KEY, False))


def debug_option(function: Function) -> Function:
    """Adds `--debug`: show the traceback of a failure."""
    option = click.option(
        "--debug", is_flag=True, expose_value=False, callback=_remember, help="Show the traceback of a failure."
    )
    return option(function)
