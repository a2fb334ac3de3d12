"""What one site is set to: its name, chain, contract, relays, and what its app wants to know."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from .._exceptions import ConfigurationError
from ..commands.strict import given_address, read_json
from .address import LOOPBACK, Address

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,63}")
_KEY: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_OURS: Final = "swarm-"
"""Prefix of the node config's keys that follow from the folder, and so are not set by hand."""
_FIELDS: Final = ("name", "chain", "contract", "relays", "relay", "bind", "node_port", "node")
Value = str | int | float | bool


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A site's `site.json`.

    Parameters
    ----------
    name : str
        What it is called in logs and reports.
    chain : str
        JSON-RPC address of its own chain node.
    contract : str
        Address of the swarm's contract.
    relays : tuple of Address
        Relays in the order in which the site tries them.
    relay : Address or None
        Where the others reach this site when it relays.
    bind : str
        Address of the interface on which it then listens.
    node_port : int
        Port on the loopback interface between SuperNode and ClientApp.
    node : mapping
        Further node config, such as `partition-id`.
    """

    name: str
    chain: str
    contract: str
    relays: tuple[Address, ...] = ()
    relay: Address | None = None
    bind: str = LOOPBACK
    node_port: int = 9094
    node: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ConfigurationError(
                f"a site's name has 1 to 64 letters, digits, spaces, dots or dashes and begins "
                f"with a letter or digit, got {self.name[:70]!r}"
            )
        if not re.fullmatch(r"https?://[^\s'\"]+", self.chain):
            raise ConfigurationError(
                f"the chain is a URL such as http://127.0.0.1:8545, got {self.chain[:60]!r}"
            )
        if not 1 <= self.node_port < 1 << 16:
            raise ConfigurationError(f"node_port is from 1 to 65535, got {self.node_port}")
        for key, value in self.node.items():
            text = value if isinstance(value, str) else ""
            if not _KEY.fullmatch(key) or key.startswith(_OURS) or set(text) & set("'\"\n"):
                raise ConfigurationError(
                    f"node config takes keys of letters, digits and dashes that do not begin with "
                    f"{_OURS!r}, and values without quotes; got {key[:40]!r}"
                )

    def to_json(self) -> dict[str, Any]:
        """Plain data, as the file holds it."""
        return {
            "name": self.name,
            "chain": self.chain,
            "contract": self.contract,
            "relays": [str(each) for each in self.relays],
            "relay": None if self.relay is None else str(self.relay),
            "bind": self.bind,
            "node_port": self.node_port,
            "node": dict(self.node),
        }

    @classmethod
    def from_json(cls, data: object, where: str) -> Self:
        """Settings as somebody typed them.

        Raises
        ------
        ConfigurationError
            A field is unknown, missing or of another type.
        """
        if not isinstance(data, dict) or set(data) != set(_FIELDS):
            found = ", ".join(sorted(map(str, data))) if isinstance(data, dict) else "no object"
            raise ConfigurationError(
                f"{where} has the fields {', '.join(_FIELDS)}; found {found[:200]}"
            )
        types = {"name": str, "chain": str, "contract": str, "bind": str, "node_port": int}
        wrong = [name for name, kind in types.items() if type(data[name]) is not kind]
        if not isinstance(data["relays"], list):
            wrong.append("relays")
        if not isinstance(data["node"], dict) or not all(
            isinstance(value, Value) for value in data["node"].values()
        ):
            wrong.append("node")
        if wrong:
            raise ConfigurationError(f"{where}: {wrong[0]} is of the wrong type; see the guide")
        relay = data["relay"]
        return cls(
            name=data["name"],
            chain=data["chain"],
            contract=given_address(data["contract"], f"{where}: contract"),
            relays=tuple(Address.parse(str(each)) for each in data["relays"]),
            relay=None if relay is None else Address.parse(str(relay)),
            bind=data["bind"],
            node_port=data["node_port"],
            node=data["node"],
        )

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file; its errors name it."""
        return cls.from_json(read_json(path), str(path))

    def text(self) -> bytes:
        """The file's content."""
        return (json.dumps(self.to_json(), indent=2) + "\n").encode()
