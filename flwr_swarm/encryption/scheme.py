"""The `threshold` scheme: encrypt to nobody, add, and open only the sum, with any t of n.

Key-additive RLWE. With a_k common and public, a member's ciphertext of chunk k is
c_k = a_k*s + e_k + round(q/t * m_k), under a key s of its own that it uses once and shares
t-of-n. Ciphertexts, keys and shares add up; t sums of shares give the sum of the keys, and
this opens the sum of the messages and nothing else. Related: Stevens et al. 2022, LERNA 2023,
OPA 2024, Willow 2024.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from flwr_swarm._exceptions import (
    ConfigurationError,
    OpeningRejected,
    WireError,
)
from flwr_swarm._octets import Octets

from . import wire
from .cipher import decrypt, encrypt
from .context import RoundContext
from .dealing import Dealt, check_holders, deal
from .engines import engine_for
from .envelope import public_key_of
from .holding import complaints
from .key import OneTimeKey
from .opening import recover_key
from .packing import check_lanes
from .parameters import DEFAULT, KEYS, MAX_MEMBERS, RingParameters
from .randomness import RandomBytes, Stream
from .shamir import check_threshold


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """What one member sends in one round.

    Parameters
    ----------
    payload : bytes
        The ciphertext.
    envelopes : tuple of bytes
        The key share for each holder, in the order of the holders.
    proof : bytes
        What lets each holder check its share.
    """

    payload: bytes
    envelopes: tuple[bytes, ...]
    proof: bytes

    def __repr__(self) -> str:
        return f"Sealed(payload={len(self.payload)} bytes, envelopes={len(self.envelopes)})"


@dataclass(frozen=True, kw_only=True)
class ThresholdScheme:
    """Threshold encryption of integer vectors whose sum alone can be opened.

    Guarantee: whoever sees all payloads, the envelopes and the openings of one included set
    learns the sum over that set, provided that at most threshold - 1 holders collude, that two
    or more included members are honest, that each round opens one set only, which `Holder` sees
    to, and that RLWE is hard for N = 4096, log q = 60 and errors of standard deviation 3.24.
    Unreviewed.
    """

    parameters: RingParameters = DEFAULT
    name: ClassVar[str] = "threshold"

    def seal(
        self,
        lanes: NDArray[np.uint32],
        *,
        context: RoundContext,
        sender: int,
        holders: Sequence[bytes | None],
        threshold: int,
        random: RandomBytes = os.urandom,
    ) -> Sealed:
        """Encrypt `lanes` under a fresh key and share that key among `holders`.

        Parameters
        ----------
        lanes : (n,) uint32
            Non-negative integers whose sum over all members fits a lane (see `Codec`).
        context : RoundContext
        sender : int
            This member's index.
        holders : sequence of bytes or None
            32-byte X25519 public keys; holder j is member j, None where nobody has that seat.
        threshold : int
            Openings that open the sum, 2 to the number of holders.
        random : callable
            Source of the key, its shares and the seed of the errors.

        Raises
        ------
        UpdateMismatch
            If `lanes` is not a non-empty vector of uint32.
        CapacityExceeded
            If a lane, or their number, is too large.
        ConfigurationError
            If threshold, sender or a holder's key cannot work.
        """
        check_lanes(lanes, self.parameters)
        check_threshold(threshold, sum(key is not None for key in holders))
        check_holders(holders, sender)
        with OneTimeKey(random=random).spend() as secret:
            envelopes, proof = deal(
                secret,
                context=context,
                sender=sender,
                holders=holders,
                threshold=threshold,
                random=random,
                parameters=KEYS,
            )
            payload = encrypt(
                lanes,
                secret=secret,
                seed=context.common_seed(),
                stream=Stream(random=random),
                parameters=self.parameters,
            )
        return Sealed(payload=payload, envelopes=envelopes, proof=proof)

    def merge(self, payloads: Sequence[Octets]) -> bytes:
        """The sum of the payloads; the same bytes in whatever order they come.

        Raises
        ------
        WireError
            If a payload is malformed, or their lengths differ.
        ConfigurationError
            If there is none, or more than 256.
        """
        if not 1 <= len(payloads) <= MAX_MEMBERS:
            raise ConfigurationError(
                f"merge takes 1 to {MAX_MEMBERS} payloads, got {len(payloads)}"
            )
        total = self.plus(None, wire.read_ciphertext(payloads[0], self.parameters))
        for payload in payloads[1:]:
            total = self.plus(total, wire.read_ciphertext(payload, self.parameters))
        return wire.write_aggregate(total, self.parameters)

    def plus(self, total: wire.Ciphertext | None, term: wire.Ciphertext) -> wire.Ciphertext:
        """The sum of a sum, or of nothing, and one more ciphertext.

        What it returned before is used up as `total`: its memory holds the next sum.
        """
        if total is None:
            return wire.Ciphertext(lanes=term.lanes, residues=term.residues.copy())
        if term.lanes != total.lanes:
            raise WireError(
                f"ciphertexts of {total.lanes} and of {term.lanes} lanes do not add up; "
                "all members must train the same model"
            )
        engine_for(len(total.residues)).accumulate(total.residues, term.residues)
        return wire.Ciphertext(
            lanes=total.lanes, residues=total.residues, summands=total.summands + term.summands
        )

    def complaints(
        self,
        dealt: Mapping[int, Dealt],
        *,
        context: RoundContext,
        receiver: int,
        private_keys: Sequence[bytes],
        pinned: bytes,
    ) -> dict[int, bytes]:
        """This holder's complaints, by dealer, about those of `dealt` that are provably bad.

        Parameters
        ----------
        dealt : mapping of sender to Dealt
            What members dealt to this holder, as their seals fix it.
        context : RoundContext
        receiver : int
            This holder's index.
        private_keys : sequence of bytes
            As a `Holder` has them.
        pinned : bytes
            This holder's public key, as everybody knows it.
        """
        return complaints(
            dealt,
            context=context,
            receiver=receiver,
            keys={public_key_of(key): key for key in private_keys},
            pinned=pinned,
            parameters=KEYS,
        )

    def open(
        self,
        merged: Octets,
        openings: Mapping[int, bytes],
        *,
        context: RoundContext,
        threshold: int,
        included: int,
    ) -> NDArray[np.uint64]:
        """The lane sums inside `merged`.

        Parameters
        ----------
        merged : bytes
            From `merge`.
        openings : mapping of holder to bytes
            `threshold` or more; the surplus is checked against the others.
        context : RoundContext
        threshold : int
        included : int
            Members in the certified set.

        Returns
        -------
        (n,) uint64
            Exact sums of the members' lanes.

        Raises
        ------
        WireError
            If `merged` or an opening is malformed.
        OpeningRejected
            If the openings are too few, of another round or set, disagree with one another, or
            leave noise beyond `RingParameters.noise_bound(included)`.
        """
        total = wire.read_aggregate(merged, self.parameters)
        if total.summands != included:
            raise OpeningRejected(
                f"the sum holds {total.summands} members, the certified set {included}"
            )
        secret = recover_key(
            openings,
            context=context,
            threshold=threshold,
            included=included,
            parameters=KEYS,
        )
        return decrypt(
            total,
            secret=secret,
            seed=context.common_seed(),
            parameters=self.parameters,
        )
