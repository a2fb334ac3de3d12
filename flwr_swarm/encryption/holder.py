"""A holder of key shares: it opens one set a round, and never a second.

The difference of two openings of one round opens the difference of their sums, which may be one
member's update. So an opening comes from a `Holder` only, and a holder asks its memory first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol

from flwr_swarm._exceptions import ConfigurationError, OpeningReused

from .context import PROTOCOL, RoundContext
from .dealing import Dealt
from .envelope import public_key_of
from .hashes import envelope_hash, proof_hash
from .holding import sum_of_shares
from .parameters import KEYS, MAX_MEMBERS, SMALLEST_SUM


class OpeningMemory(Protocol):
    """What a holder opened in each round, kept for as long as its private keys."""

    def claim(self, context: RoundContext, opened: bytes) -> bytes:
        """Remember `opened` for the round unless something stands there; what stands there now.

        One step for whoever else asks, threads and processes alike. What it returned must outlive
        a crash before the opening leaves the machine.
        """
        ...


class VolatileMemory:
    """An `OpeningMemory` that ends with its process: for keys that do so too."""

    def __init__(self) -> None:
        self._opened: dict[tuple[int, str, int], bytes] = {}
        self._lock = Lock()

    def claim(self, context: RoundContext, opened: bytes) -> bytes:
        """See `OpeningMemory`."""
        with self._lock:
            slot = (context.chain_id, context.contract.lower(), context.round)
            return self._opened.setdefault(slot, opened)


@dataclass(frozen=True, kw_only=True)
class CertifiedSet:
    """The one set whose sum a round opens.

    Parameters
    ----------
    members : tuple of int
        Ascending.
    certificate : bytes
        32 bytes that name the agreement on it.

    Raises
    ------
    ConfigurationError
        If it has fewer than three members, who would learn each other's updates from the sum.
    """

    members: tuple[int, ...]
    certificate: bytes

    def __post_init__(self) -> None:
        """Refuse what hides nobody, or has two spellings."""
        if not SMALLEST_SUM <= len(self.members) <= MAX_MEMBERS:
            raise ConfigurationError(
                f"a sum is opened over {SMALLEST_SUM} to {MAX_MEMBERS} members, got "
                f"{len(self.members)}; a sum over fewer hides nothing from its own members"
            )
        if list(self.members) != sorted(set(self.members)):
            raise ConfigurationError(f"members must ascend, got {self.members}")
        if len(self.certificate) != 32:
            raise ConfigurationError(
                f"a certificate's digest has 32 bytes, got {len(self.certificate)}"
            )


@dataclass(frozen=True, kw_only=True)
class Holder:
    """One member as holder of the others' key shares.

    Guarantee: for one round it releases one sum of shares, over one certified set and one dealing
    of each of its members, whoever asks and however often; provided that `memory` is what
    `OpeningMemory` says.

    Parameters
    ----------
    index : int
    private_keys : sequence of bytes
        32-byte X25519 private keys; an envelope says to which it is sealed.
    memory : OpeningMemory
    """

    index: int
    private_keys: Sequence[bytes] = field(repr=False)
    memory: OpeningMemory = field(repr=False)

    def open(
        self, dealt: Mapping[int, Dealt], *, certified: CertifiedSet, context: RoundContext
    ) -> bytes:
        """The sum of this holder's key shares over the certified members, each share checked.

        The set is claimed before a share is looked at, and the same request gives the same bytes.

        Parameters
        ----------
        dealt : mapping of sender to Dealt
            What each certified member dealt to this holder, as its seal fixes it; who calls has
            checked that.
        certified : CertifiedSet
        context : RoundContext

        Raises
        ------
        ConfigurationError
            If `dealt` is not of exactly the certified members.
        OpeningReused
            If another set, or other dealings of this one, were opened in this round.
        WireError
            If an envelope or a proof is malformed.
        BadDealing
            If a share is bad by its dealer's doing.
        ShareRefused
            If an envelope is of another sender or receiver, or sealed to none of these keys.
        """
        if tuple(sorted(dealt)) != certified.members:
            raise ConfigurationError(
                f"the certified set is {certified.members}, shares came of {tuple(sorted(dealt))}"
            )
        keys = {public_key_of(key): key for key in self.private_keys}
        opened = certified.certificate + self._fixed(dealt, context)
        if self.memory.claim(context, opened) != opened:
            raise OpeningReused(
                f"shares of round {context.round} were released for another set; never twice"
            )
        return sum_of_shares(
            dealt, context=context, receiver=self.index, keys=keys, parameters=KEYS
        )

    def _fixed(self, dealt: Mapping[int, Dealt], context: RoundContext) -> bytes:
        """32 bytes that fix round, holder, members and all that they dealt."""
        digest = hashlib.sha256(PROTOCOL + b"opened\0" + context.digest())
        digest.update(self.index.to_bytes(2, "big") + len(dealt).to_bytes(2, "big"))
        for sender in sorted(dealt):
            one = dealt[sender]
            digest.update(sender.to_bytes(2, "big") + len(one.hashes).to_bytes(2, "big"))
            digest.update(b"".join(one.hashes) + proof_hash(one.proof, KEYS))
            digest.update(envelope_hash(one.envelope, KEYS))
        return digest.digest()
