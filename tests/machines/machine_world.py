"""A swarm in one process: the contract's rules, a clock, members' sites, and parcels on the wire.

Nothing here is a stand-in but the transport: keys, signatures, cipher, contract rules and member
logic are the real ones. Time moves when a test says so.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import weakref
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from flwr.serverapp.strategy import FedAvgM
from machine_book import Book

from flwr_swarm._exceptions import ChainUnreachable
from flwr_swarm.chain import founding
from flwr_swarm.chain.replica import apply
from flwr_swarm.chain.state import Event, State
from flwr_swarm.encryption import generate_encryption_key
from flwr_swarm.flower.replay import PARAMETERS
from flwr_swarm.keystore.keys import MemberKeys
from flwr_swarm.keystore.promises import Promises
from flwr_swarm.protocol import quorum
from flwr_swarm.protocol.hashing import Arrays, model_hash
from flwr_swarm.protocol.ledger import LedgerCall
from flwr_swarm.protocol.messages import Place
from flwr_swarm.protocol.terms import Terms
from flwr_swarm.protocol.types import Card, LedgerView, Phase, Policy

START = 1_700_000_000
CHAIN_ID = 77
MOST = 7
_FAST = Path("/dev/shm")  # noqa: S108 - promises are synchronised to a disk; this one costs nothing


@cache
def keys_of(index: int) -> MemberKeys:
    """Always the same: `MemberKeys.generate` would add the system's randomness to the account's."""
    source = random.Random(index).randbytes  # noqa: S311 - keys of a test
    private, _ = generate_encryption_key(source)
    return MemberKeys(account_key=source(32), share_key_bytes=private)


CONTRACT = keys_of(98).account


@cache
def card_of(index: int) -> Card:
    keys = keys_of(index)
    return Card(
        account=keys.account,
        encryption_key=keys.encryption_key,
        commitment=keys.commitment(CHAIN_ID, CONTRACT, 0),
    )


@cache
def terms_of(strategy: str, members: int) -> Terms:
    kind = next(kind for kind in PARAMETERS if kind.__name__ == strategy)
    built = FedAvgM(server_momentum=0.9) if kind is FedAvgM else kind()
    numbers = {name: float(getattr(built, name)) for name in PARAMETERS[kind]}
    return Terms(encryption="threshold", members=members, strategy=strategy, parameters=numbers)


def policy_of(n: int, terms: Terms, max_misses: int) -> Policy:
    """As `flwr_swarm.flower.founding` makes it when every member is sampled."""
    threshold = quorum.smallest_threshold(n)
    return Policy(
        threshold=threshold,
        min_included=min(max(3, threshold), n),
        witnesses=quorum.witnesses_needed(min(n, MOST)),
        max_committee=MOST,
        quorum=quorum.signatures_needed(min(n, MOST)),
        close_at=n,
        max_misses=max_misses,
        terms=terms.hash(),
    )


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """A request on its way to a member, with the model where one goes along."""

    to: int
    kind: str
    request: Any = field(repr=False)
    model: Arrays = field(default_factory=dict, repr=False)
    state: Arrays = field(default_factory=dict, repr=False)


class World:
    """Everything outside relay and members: the ledger, the clock, the wire.

    Parameters
    ----------
    n : int
        Members.
    strategy : str
        Name of the Flower strategy whose step is replayed.
    max_misses : int
        See `Policy`.
    seed : int
        Of keys of rounds and of roundings, so that a failing example fails again.
    """

    def __init__(self, n: int, *, strategy: str = "FedAvg", max_misses: int = 0, seed: int = 0):
        self.n = n
        self.f = quorum.tolerated_faults(n)
        self.terms = terms_of(strategy, n)
        policy = policy_of(n, self.terms, max_misses)
        cards = [card_of(i) for i in range(n)]
        self.state, _ = founding.found(cards, policy, chain_id=CHAIN_ID, contract=CONTRACT)
        self.place = Place(
            chain_url="http://127.0.0.1:8545",
            chain_id=CHAIN_ID,
            contract=CONTRACT,
            terms=self.terms.to_json(),
        )
        self.clock = START
        self.seed = seed
        self.random = random.Random(seed).randbytes  # noqa: S311
        self.wire: list[Parcel] = []
        self.past: list[Parcel] = []
        self.reached: Counter[str] = Counter()
        self.book = Book(self)
        self.archive: dict[bytes, tuple[Arrays, Arrays]] = {}
        self.before_certificate: State | None = None
        self._folder: Path | None = None

    # --- the ledger ----------------------------------------------------------------------------

    def view(self) -> LedgerView:
        return self.state.view(self.clock)

    def apply(self, account: str, call: LedgerCall) -> None:
        """A block with one transaction; a second passes."""
        self.clock += 1
        before = self.state
        self.state, events = apply(before, account, call, self.clock)
        self._note(before, events)

    def _note(self, before: State, events: list[Event]) -> None:
        for name, fields in events:
            self.reached[name] += 1
            if name == "Certified":
                self.before_certificate = before
                self.book.certified(self.state.current)
            elif name == "Drawn":
                self.book.drawn(self.state)
            elif name == "ViewStarted" and fields["view_"]:
                self.reached["another leader"] += 1

    def lose_the_certificate(self) -> None:
        """The newest certificate's block is no longer in the chain: a fork, or a lost disk."""
        assert self.before_certificate is not None
        self.state, self.before_certificate = self.before_certificate, None
        self.reached["fork"] += 1

    @property
    def deadline(self) -> int:
        """Of what the ledger waits for; the present if it waits for nothing."""
        current = self.state.current.round
        return {Phase.SEALING: current.seal_deadline, Phase.MERGING: current.merge_deadline}.get(
            current.phase, self.clock
        )

    # --- models --------------------------------------------------------------------------------

    def keep(self, model: Arrays, state: Arrays) -> bytes:
        """Remember a model that somebody offered, by its hash."""
        hash_ = model_hash(model, state)
        self.archive[hash_] = (model, state)
        return hash_

    def first_model(self) -> Arrays:
        return {
            "weight": np.linspace(-1, 1, 4, dtype=np.float32).reshape(2, 2),
            "bias": np.zeros(2, np.float64),
        }

    def crafted(self, model: Arrays) -> Arrays:
        """A model that nobody computed."""
        return {**model, "weight": model["weight"] + np.float32(0.25)}

    # --- the disk ------------------------------------------------------------------------------

    def promises(self, member: int) -> Promises:
        """The file of promises beside a member's keystore."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(dir=_FAST if _FAST.is_dir() else None))
            self._gone = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return Promises(self._folder / str(member))

    def close(self) -> None:
        if self._folder is not None:
            self._gone()
            self._folder = None


class Node:
    """A member's own chain node: implements `protocol.ledger.Ledger`, and can be out of reach."""

    def __init__(self, world: World, account: str) -> None:
        self.world = world
        self.account = account
        self.silent = 0
        """Accesses that get no answer from now on."""
        self.swallows = False
        """Whether the next transaction is mined without the sender hearing of it."""

    def view(self) -> LedgerView:
        self._reach()
        return self.world.view()

    def submit(self, call: LedgerCall) -> None:
        self._reach()
        self.world.apply(self.account, call)
        if self.swallows:
            self.swallows = False
            self.world.reached["mined unheard"] += 1
            raise ChainUnreachable("the answer was lost")

    def _reach(self) -> None:
        if self.silent:
            self.silent -= 1
            self.world.reached["chain out of reach"] += 1
            raise ChainUnreachable("the node does not answer")


def altered(data: bytes) -> bytes:
    """`data` with one bit turned."""
    changed = bytearray(data or b"\x00")
    changed[len(changed) // 2] ^= 1
    return bytes(changed)


def moved(parcel: Parcel, to: int) -> Parcel:
    return replace(parcel, to=to)
