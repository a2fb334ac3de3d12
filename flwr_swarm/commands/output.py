"""What a command says: text for people, or one JSON object; errors in one line, exit code 1."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterable
from typing import Any, Final, ParamSpec, TypeVar

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .._exceptions import ConfigurationError, SwarmError

WIDTH: Final = 100
JSON_FLAG: Final = "as_json"
ACCOUNT: Final = "account"
"""Name of a column whose cells are never cut."""
P = ParamSpec("P")
R = TypeVar("R")


def reports(command: Callable[P, R]) -> Callable[P, R]:
    """Turn a command's `SwarmError` into one line, or one JSON object, and exit code 1.

    The command has a parameter `as_json`. Errors go to stderr in either form, so stdout is the
    command's result or empty.
    """

    @functools.wraps(command)
    def reporting(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except SwarmError as error:
            show_error(error, as_json=bool(kwargs.get(JSON_FLAG)))
            raise typer.Exit(1) from None

    return reporting


def show_error(error: SwarmError, *, as_json: bool) -> None:
    """Print an error on stderr."""
    if as_json:
        fields = {"error": type(error).__name__, "message": str(error)}
        reason = getattr(error, "reason", None)
        if reason is not None:
            fields["reason"] = str(reason)
        print(json.dumps(fields), file=sys.stderr)
        return
    text = printable(" ".join(str(error).split()))
    Console(stderr=True).print(
        f"[bold red]error[/]: {escape(text)}", highlight=False, soft_wrap=True
    )


def show_json(fields: Any) -> None:
    """Print one JSON object on stdout."""
    print(json.dumps(fields, indent=2))


def console() -> Console:
    """The console for people: tables fit in 100 columns, wherever they go."""
    wide = Console(highlight=False)
    return Console(highlight=False, width=min(wide.width, WIDTH) if wide.is_terminal else WIDTH)


def note(text: str) -> None:
    """Say something beside the result, on stderr."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(escape(printable(text)))


def table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> Table:
    """A plain table; a column whose name starts with `>` holds numbers."""
    made = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        right = column.startswith(">")
        made.add_column(
            column.removeprefix(">"),
            justify="right" if right else "left",
            no_wrap=column == ACCOUNT,
            overflow="fold",
        )
    for row in rows:
        made.add_row(*(escape(printable(str(cell))) for cell in row))
    return made


def facts(pairs: Iterable[tuple[str, object]]) -> Table:
    """Names and values, one a line."""
    made = Table.grid(padding=(0, 2))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs:
        made.add_row(name, escape(printable(str(value))))
    return made


def printable(text: str) -> str:
    """`text` without what could rewrite a terminal: others choose endpoints and names."""
    return "".join(c if c.isprintable() else "?" for c in text)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is sent.

    Raises
    ------
    ConfigurationError
        Nobody said yes.
    """
    if yes:
        return
    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort:
        typer.echo(err=True)  # the question's line has no end yet
        agreed = False
    if not agreed:
        raise ConfigurationError("nothing was sent; answer y, or add --yes to agree beforehand")
