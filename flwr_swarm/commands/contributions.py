"""`flwr-swarm contributions`: what each member did, counted from the contract's events."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from . import output
from .options import TIMEOUT, Contract, Json, Timeout, Url

if TYPE_CHECKING:
    from ..chain.contributions import Contribution

EXAMPLE: Final = "Example: flwr-swarm contributions --db events.sqlite"
_COLUMNS: Final = (
    ("seat", "seat"),
    ("sealed", "seal"),
    ("included", "sum"),
    ("late", "late"),
    ("abstained", "abst"),
    ("missed", "miss"),
    ("led", "led"),
    ("stalled", "stall"),
    ("signed", "sign"),
    ("witnessed", "witn"),
    ("faults", "fault"),
)


@output.reports
def contributions(
    url: Url,
    contract: Contract,
    db: Annotated[
        Path | None,
        typer.Option(help="File that keeps the events, so that the next call reads only new ones."),
    ] = None,
    timeout: Timeout = TIMEOUT,
    as_json: Json = False,
) -> None:
    """Count what each member did: sealed, led, signed, missed; members of the past too."""
    from . import connection  # noqa: PLC0415

    ledger = connection.read_only(url, contract, timeout)
    with tempfile.TemporaryDirectory(prefix="flwr-swarm-") as folder:
        found, block = _read(ledger.contract, url, db or Path(folder) / "events.sqlite", timeout)
    members = {member.index: member for member in ledger.view().seated}
    counted = _count(found, tuple(members.values()))
    if as_json:
        output.show_json(
            {
                "contract": ledger.contract,
                "block": block,
                "members": [asdict(each) for each in counted],
            }
        )
        return
    output.console().print(
        output.table(
            (
                *(f">{title}" for _, title in _COLUMNS[:1]),
                "member",
                *(f">{title}" for _, title in _COLUMNS[1:]),
                ">eps",
                "standing",
            ),
            [_row(each) for each in counted],
        )
    )


def _read(
    contract: str, url: str, path: Path, timeout: float
) -> tuple[list[tuple[str, dict[str, Any]]], int | None]:
    """All events of the contract, as the codec gives them, and the last block that was read."""
    from ..chain.events import EventStore  # noqa: PLC0415

    store = EventStore(path=path, url=url, contract=contract, timeout=timeout)
    store.sync()
    return [(event.name, _raw(event.name, event.fields)) for event in store.events()], store.block


def _count(
    events: list[tuple[str, dict[str, Any]]], members: tuple[Any, ...]
) -> tuple[Contribution, ...]:
    from ..chain import contributions as counting  # noqa: PLC0415

    return counting.contributions(events, members)


def _raw(name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """An event's fields with their bytes as bytes again."""
    from ..chain import artifact  # noqa: PLC0415

    entry = next(e for e in artifact.load().abi if (e["type"], e.get("name")) == ("event", name))
    return _struct(entry["inputs"], fields)


def _struct(inputs: list[dict[str, Any]], fields: Mapping[str, Any]) -> dict[str, Any]:
    return {each["name"]: _value(each, fields[each["name"]]) for each in inputs}


def _value(entry: dict[str, Any], value: Any) -> Any:
    if entry["type"] == "tuple":
        return _struct(entry["components"], value)
    if entry["type"].startswith("bytes"):
        return bytes.fromhex(value.removeprefix("0x"))
    return value


def _row(each: Contribution) -> tuple[object, ...]:
    from ..protocol.types import EPSILON_UNIT  # noqa: PLC0415

    short = f"{each.account[:6]}…{each.account[-4:]}" if each.account else "unknown"
    counts = [getattr(each, name) for name, _ in _COLUMNS]
    return (counts[0], short, *counts[1:], f"{each.epsilon / EPSILON_UNIT:.2f}", each.status)
