"""Which relay a site tries next. Knows no network and no clock."""

from __future__ import annotations

from .._exceptions import ConfigurationError
from .address import Address


class Relays:
    """A ring of relays with a hand that points at one.

    Parameters
    ----------
    addresses : tuple of Address
        In order of preference.

    Raises
    ------
    ConfigurationError
        There is none, or one is named twice.
    """

    def __init__(self, addresses: tuple[Address, ...]) -> None:
        if not addresses:
            raise ConfigurationError("name at least one relay: --relay host:port")
        if len(set(addresses)) != len(addresses):
            raise ConfigurationError(
                f"a relay is named twice in {', '.join(map(str, addresses))}; name each once"
            )
        self._addresses = addresses
        self._at = 0

    @property
    def current(self) -> Address:
        """The relay that the hand points at."""
        return self._addresses[self._at]

    def in_turn(self) -> tuple[Address, ...]:
        """All relays, the current one first."""
        return self._addresses[self._at :] + self._addresses[: self._at]

    def use(self, address: Address) -> None:
        """Point at a relay that answers."""
        self._at = self._addresses.index(address)

    def give_up(self, address: Address) -> None:
        """Point at the one after a relay that would not have us."""
        self._at = (self._addresses.index(address) + 1) % len(self._addresses)
