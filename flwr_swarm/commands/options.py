"""Options that several commands share; each can come from the environment instead."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

URL_VARIABLE: Final = "FLWR_SWARM_URL"
CONTRACT_VARIABLE: Final = "FLWR_SWARM_CONTRACT"
KEYS_VARIABLE: Final = "FLWR_SWARM_KEYS"
PASSWORD_VARIABLE: Final = "FLWR_SWARM_PASSWORD"  # noqa: S105 - a name, not a password

Url = Annotated[
    str, typer.Option("--url", envvar=URL_VARIABLE, help="JSON-RPC address of your chain node.")
]
Contract = Annotated[
    str, typer.Option("--contract", envvar=CONTRACT_VARIABLE, help="Address of the swarm.")
]
Keys = Annotated[
    Path, typer.Option("--keys", envvar=KEYS_VARIABLE, help="Folder that keygen made.")
]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        help=f"File with the keys' password; else ${PASSWORD_VARIABLE}, else a prompt.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, errors too.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Timeout = Annotated[
    float, typer.Option("--timeout", help="Seconds after which a call to the chain gives up.")
]
TIMEOUT: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a program that embeds the commands may set: ``app(obj=Settings(...))``.

    Parameters
    ----------
    cost : int or None
        scrypt's N for new keys; None takes the keystore's standard. Less is for tests.
    """

    cost: int | None = None


def key_cost(context: typer.Context) -> int:
    """scrypt's N for new keys."""
    from ..keystore import STANDARD_COST  # noqa: PLC0415 - the keystore is slow to import

    found = context.find_object(Settings)
    return STANDARD_COST if found is None or found.cost is None else found.cost
