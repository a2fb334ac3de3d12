"""The encryption benchmark's own side: flwr_swarm, with each engine and each profile it has."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from flwr_swarm._exceptions import ConfigurationError
from flwr_swarm.encryption import (
    PRECISIONS,
    CertifiedSet,
    Codec,
    Dealt,
    Holder,
    RingParameters,
    RoundContext,
    Sealed,
    ThresholdScheme,
    VolatileMemory,
    envelope_hash,
    generate_encryption_key,
)
from flwr_swarm.encryption.dealing import deal
from flwr_swarm.encryption.engines import ENGINES, LOADING, VARIABLE, engine_for, named
from flwr_swarm.encryption.parameters import DEGREE
from flwr_swarm.encryption.randomness import uniform
from flwr_swarm.protocol.quorum import smallest_threshold

from .encryption_task import (
    CLIP,
    DECODE,
    ENCODE,
    ENCRYPT,
    MAX_WEIGHT,
    MERGE,
    OPEN,
    Clock,
    Opened,
    Task,
    Upload,
)

NAME: Final = "flwr_swarm"
DEALING: Final = "of which dealing"
OPENING: Final = "one holder's opening"
DEFAULT_PROFILE: Final = "16-bit"
_KEYS: Final = RingParameters()
"""What keys, shares and openings are of, whatever the precision."""


def engines() -> list[str]:
    """Every ring engine that works here; first the one that a large update gets by itself."""
    usual = engine_for(LOADING).name
    return sorted(filter(_works, ENGINES), key=lambda name: name != usual)


def _works(name: str) -> bool:
    try:
        return bool(named(name))
    except ConfigurationError:  # numba is optional
        return False


@contextmanager
def using(engine: str) -> Iterator[None]:
    """Hold the library to one engine."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = engine
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def profiles() -> Mapping[str, Mapping[str, Any]]:
    """Every precision that the library has, the default first, as arguments of its codec."""
    found = {f"{bits}-bit": {"precision": bits} for bits in PRECISIONS}
    return {DEFAULT_PROFILE: found.pop(DEFAULT_PROFILE, {})} | found


def contestants(*, thorough: bool) -> list[Ours]:
    """Ours by default; `thorough`: with every other engine and every other precision, too."""
    usual, *engines_left = engines()
    default, *profiles_left = profiles()
    found = [Ours(engine=usual, profile=default)]
    if thorough:
        found += [Ours(engine=engine, profile=default) for engine in engines_left]
        found += [Ours(engine=usual, profile=profile) for profile in profiles_left]
    return found


class Ours:
    """Encrypt to nobody, add, and open the sum with the openings of t holders."""

    name = NAME
    repeatable = False  # a key is used once, and each envelope names its sender

    def __init__(self, *, engine: str, profile: str) -> None:
        self.engine, self.profile = engine, profile
        self.streamed = False
        """Whether lanes are made as they are sealed, as the plugin does: in less memory."""
        self._context = RoundContext(
            chain_id=1, contract="0x" + "5a" * 20, round=1, anchor=bytes(32)
        )

    def begin(self, task: Task) -> None:
        """The members' long-term keys."""
        self._task = task
        settings = profiles()[self.profile]
        self._codec = Codec(clip=CLIP, max_weight=MAX_WEIGHT, members=task.members, **settings)
        self._scheme = ThresholdScheme(parameters=self._codec.ring)
        self._keys = [generate_encryption_key(os.urandom) for _ in range(task.members)]
        self._holders = [public for _, public in self._keys]
        self._threshold = smallest_threshold(task.members)

    def client(self, member: int, clock: Clock) -> Upload:
        """Encode and seal; the dealing, which is a part of sealing, once more by itself."""
        task = self._task
        with using(self.engine):
            with clock.part(ENCODE):
                encode = self._codec.encoding if self.streamed else self._codec.encode
                lanes = encode(task.update(member), weight=task.weight(member))
            with clock.part(ENCRYPT):
                sealed = self._scheme.seal(
                    lanes,
                    context=self._context,
                    sender=member,
                    holders=self._holders,
                    threshold=self._threshold,
                )
            secret = uniform(os.urandom, DEGREE)
            with clock.part(DEALING):
                deal(
                    secret,
                    context=self._context,
                    sender=member,
                    holders=self._holders,
                    threshold=self._threshold,
                    random=os.urandom,
                    parameters=_KEYS,
                )
        beside = sum(map(len, sealed.envelopes)) + len(sealed.proof)
        return Upload(payload=sealed.payload, beside=beside, dealt=sealed)

    def finish(self, uploads: Sequence[Upload], clock: Clock) -> Opened:
        """Merge; t holders open their shares; anybody opens the sum."""
        with using(self.engine):
            with clock.part(MERGE):
                merged = self._scheme.merge([upload.payload for upload in uploads])
            openings = self._openings([upload.dealt for upload in uploads], clock)
            with clock.part(OPEN):
                sums = self._scheme.open(
                    merged,
                    openings,
                    context=self._context,
                    threshold=self._threshold,
                    included=len(uploads),
                )
            with clock.part(DECODE):
                mean = self._codec.decode(sums, included=len(uploads), size=self._task.size)
        return Opened(mean=mean.update, allowed=mean.rounding_error, merged_bytes=len(merged))

    def _openings(self, sealed: Sequence[Sealed], clock: Clock) -> dict[int, bytes]:
        hashes = [tuple(envelope_hash(e, _KEYS) for e in one.envelopes) for one in sealed]
        certified = CertifiedSet(members=tuple(range(len(sealed))), certificate=bytes(32))
        openings = {}
        for holder in range(self._threshold):
            dealt = {
                sender: Dealt(
                    envelope=one.envelopes[holder], hashes=hashes[sender], proof=one.proof
                )
                for sender, one in enumerate(sealed)
            }
            with clock.part(OPENING):
                openings[holder] = Holder(
                    index=holder,
                    private_keys=[self._keys[holder][0]],
                    memory=VolatileMemory(),
                ).open(dealt, certified=certified, context=self._context)
        return openings
