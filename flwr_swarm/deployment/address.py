"""Where a process listens: host and port, as one types them."""

from __future__ import annotations

import ipaddress
import random
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from .._exceptions import ConfigurationError

LOOPBACK: Final = "127.0.0.1"
_PORTS: Final = range(1, 1 << 16)
_LONGEST: Final = 253
_QUIET: Final = range(20_000, 32_000)
"""Below the ports that systems give to outgoing connections: those could take one while its
process restarts."""
_TRIES: Final = 200


@dataclass(frozen=True, order=True)
class Address:
    """A host, which may be a name, and a port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `host:port` or `[IPv6]:port`.

        Raises
        ------
        ConfigurationError
            It is something else.
        """
        host, _, port = text.strip().rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        bare = host[1:-1] if bracketed else host
        digits = port.isascii() and port.isdigit() and len(port) <= 5
        if not digits or int(port) not in _PORTS or not _is_host(bare, bracketed):
            raise ConfigurationError(
                f"an address is host:port, got {text[:60]!r}; for example "
                "relay.hospital.example:9092, or [::1]:9092"
            )
        return cls(bare, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _is_host(host: str, bracketed: bool) -> bool:
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        named = host.replace("-", "").replace(".", "").replace("_", "")
        return not bracketed and len(host) <= _LONGEST and named.isascii() and named.isalnum()
    return bracketed == (version == 6)


def free_ports(count: int, *, taken: Iterable[int] = ()) -> tuple[int, ...]:
    """`count` ports of the loopback interface that nobody listens on now.

    Raises
    ------
    ConfigurationError
        So many cannot be found.
    """
    found: list[int] = []
    avoided = set(taken)
    for port in random.SystemRandom().sample(_QUIET, _TRIES + count):
        if len(found) == count:
            break
        if port not in avoided and is_free(port):
            found.append(port)
    if len(found) < count:
        raise ConfigurationError(f"{count} free ports are needed, {len(found)} were found")
    return tuple(found)


def is_free(port: int) -> bool:
    """Whether a process of ours could listen on a port of the loopback interface."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
