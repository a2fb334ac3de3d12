"""Pure functions of equal arguments, computed once instead of once for each member.

In a real swarm every site computes them for itself. Here all sites share one process, so a third
of a round's time would go into results that are known already. Nothing is left out or replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import pytest

from flwr_swarm import encryption
from flwr_swarm.chain import signing
from flwr_swarm.encryption import ThresholdScheme, hashes, wire
from flwr_swarm.flower import replay as replaying
from flwr_swarm.protocol import lineage, payload

_MOST = 512


@contextmanager
def memoised() -> Iterator[None]:
    """Remember results of pure functions while the context lasts."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in (
            (signing, "certificate_digest"),
            (payload, "decode_layout"),
            (lineage, "decode_layout"),
            (hashes, "ciphertext_hash"),
            (hashes, "envelope_hash"),
            (wire, "read_envelope"),
        ):
            patch.setattr(module, name, lru_cache(maxsize=_MOST)(getattr(module, name)))
        patch.setattr(encryption, "payload_hash", hashes.payload_hash)
        patch.setattr(encryption, "envelope_hash", hashes.envelope_hash)
        patch.setattr(ThresholdScheme, "open", _opening_once(ThresholdScheme.open))
        patch.setattr(replaying, "replay", _replaying_once(replaying.replay))
        yield


def _opening_once(real: Callable[..., Any]) -> Callable[..., Any]:
    known: dict[Any, Any] = {}

    def once(self: ThresholdScheme, merged: bytes, openings: Any, **rest: Any) -> Any:
        key = (merged, tuple(sorted(openings.items())), *sorted(rest.items()))
        if key not in known:
            _make_room(known)
            known[key] = real(self, merged, openings, **rest)
        return known[key].copy()

    return once


def _replaying_once(real: Callable[..., Any]) -> Callable[..., Any]:
    known: dict[Any, Any] = {}

    def once(terms: Any, number: int, parent: Any, layout: Any, lanes: Any, included: int) -> Any:
        key = (terms.hash(), number, parent.hash, layout, lanes.tobytes(), included)
        if key not in known:
            _make_room(known)
            known[key] = real(terms, number, parent, layout, lanes, included)
        model, state = known[key]
        return dict(model), dict(state)

    return once


def _make_room(known: dict[Any, Any]) -> None:
    if len(known) >= _MOST:
        known.clear()
