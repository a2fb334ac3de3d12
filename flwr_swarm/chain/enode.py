"""A Besu node's enode URL: where it is reached, and the key by which it is known."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import parse_qs, urlsplit

import coincurve
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from flwr_swarm._exceptions import ConfigurationError

LONGEST: Final = 256
"""Bytes that the contract's registry takes."""
_NODE_ID: Final = re.compile(r"[0-9a-f]{128}")
_NAME: Final = re.compile(r"(?=.{1,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*\Z")
_PORTS: Final = 1 << 16
_SHOWN: Final = 60
_UNCOMPRESSED: Final = b"\x04"


@dataclass(frozen=True, kw_only=True)
class Enode:
    """Where a Besu node is reached, and the key that proves that it is this node.

    Parameters
    ----------
    node_id : str
        Public key of the node, 128 hex digits.
    host : str
        IP address or DNS name; Besu takes names only with ``--Xdns-enabled=true``.
    port : int
    discovery : int or None
        UDP port of discovery, where it is another one; 0 for none.
    """

    node_id: str
    host: str
    port: int
    discovery: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an enode URL, strictly.

        Raises
        ------
        ConfigurationError
            It is no enode URL that Besu would take and reach.
        """
        if len(text) > LONGEST or not text.isascii() or not text.isprintable():
            raise ConfigurationError(
                f"an enode URL is at most {LONGEST} plain characters, got {len(text)}: "
                f"{text[:_SHOWN]!a}"
            )
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
            query = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
        except ValueError as error:
            raise _refused(text, str(error)) from None
        if parts.scheme != "enode" or parts.password is not None or parts.path or parts.fragment:
            raise _refused(text, "the form is enode://NODE_ID@HOST:PORT")
        node_id = (parts.username or "").lower()
        if not _NODE_ID.fullmatch(node_id):
            raise _refused(text, f"a node id has 128 hex digits, got {len(node_id)} characters")
        if not host or port is None or port == 0:
            raise _refused(text, "host and port (1 to 65535) are needed")
        discovery = None
        if query:
            if set(query) != {"discport"} or len(query["discport"]) != 1:
                raise _refused(text, "the one option is discport")
            if not query["discport"][0].isdigit() or int(query["discport"][0]) >= _PORTS:
                raise _refused(text, "discport is a port, or 0 for no discovery")
            discovery = int(query["discport"][0])
        found = cls(node_id=node_id, host=_host(host, text), port=port, discovery=discovery)
        try:
            coincurve.PublicKey(_UNCOMPRESSED + bytes.fromhex(node_id))
        except ValueError:
            raise _refused(text, "the node id is no point of secp256k1") from None
        return found

    def __str__(self) -> str:
        shown = f"[{self.host}]" if ":" in self.host else self.host
        tail = "" if self.discovery is None else f"?discport={self.discovery}"
        return f"enode://{self.node_id}@{shown}:{self.port}{tail}"

    @property
    def address(self) -> str:
        """Checksummed address of the node: as a validator, QBFT knows it by this."""
        return to_checksum_address(keccak(bytes.fromhex(self.node_id))[-20:])

    @property
    def named(self) -> bool:
        """Whether the host is a DNS name."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return True
        return False


def _host(host: str, text: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if _NAME.match(host):
            return host
        raise _refused(text, f"{host!r} is neither an IP address nor a DNS name") from None
    if address.is_unspecified or address.is_multicast:
        raise _refused(text, f"nobody can be reached at {host}")
    return str(address)


def _refused(text: str, why: str) -> ConfigurationError:
    shown = text if len(text) <= _SHOWN else text[:40] + "…" + text[-19:]
    return ConfigurationError(
        f"{shown!a} is no enode URL: {why}; `besu public-key export` gives the node id"
    )
