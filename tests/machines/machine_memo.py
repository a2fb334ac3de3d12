"""Pure functions of equal arguments, computed once instead of once for each member.

In a real swarm every site computes them for itself. Here all sites share one process, so a third
of a round's time would go into results that are known already. Nothing is left out or replaced.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, wraps
from typing import Any

import numpy as np
import pytest

from flwr_swarm.chain import signing
from flwr_swarm.encryption import (
    ThresholdScheme,
    dealing,
    dealing_wire,
    edwards,
    envelope,
    hashes,
    hpke,
    randomness,
    wire,
)
from flwr_swarm.flower import replay as replaying
from flwr_swarm.protocol import payload
from flwr_swarm.protocol.terms import Terms

_MOST = 512
_PURE = (
    (signing, "certificate_digest"),
    (payload, "decode_layout"),
    (hashes, "envelope_hash"),
    (wire, "read_envelope"),
    (dealing_wire, "read_proof"),
    (randomness, "expand_public"),
    (hpke, "shared_secret"),
    (envelope, "public_key_of"),
    (edwards, "decode"),
    (edwards, "montgomery_of"),
)
"""Their arguments are bytes, numbers and frozen parameters."""


@contextmanager
def memoised() -> Iterator[None]:
    """Remember results of pure functions while the context lasts."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in _PURE:
            real = getattr(module, name)
            _everywhere(patch, real, lru_cache(maxsize=_MOST)(_unwritable(real)))
        parsed = payload.parse_payload
        _everywhere(patch, parsed, _keyed(_unwritable(parsed), _parsed_key, lambda one: one))
        fault = dealing.visible_fault
        _everywhere(patch, fault, _keyed(fault, _dealing_key, lambda words: words))
        patch.setattr(ThresholdScheme, "open", _opening_once(ThresholdScheme.open))
        patch.setattr(replaying, "replay", _keyed(replaying.replay, _step_key, _copied))
        patch.setattr(Terms, "to_json", _keyed(Terms.to_json, _terms_key, _copied_json))
        yield


def _everywhere(patch: pytest.MonkeyPatch, real: Any, once: Any) -> None:
    """Wherever the package has imported `real`."""
    for module in [m for name, m in sys.modules.items() if name.startswith("flwr_swarm")]:
        for name in [name for name, value in vars(module).items() if value is real]:
            patch.setattr(module, name, once)


def _unwritable(real: Callable[..., Any]) -> Callable[..., Any]:
    """A result that is shared must not be changed by who gets it: an attempt is an error."""

    @wraps(real)
    def once(*arguments: Any, **rest: Any) -> Any:
        found = real(*arguments, **rest)
        ciphertext = getattr(found, "ciphertext", None)
        for array in (
            found,
            getattr(found, "coefficients", None),
            getattr(ciphertext, "residues", None),
        ):
            if isinstance(array, np.ndarray):
                array.flags.writeable = False
        return found

    return once


def _keyed(
    real: Callable[..., Any], key_of: Callable[..., Any], copy: Callable[[Any], Any]
) -> Callable[..., Any]:
    known: dict[Any, Any] = {}

    def once(*arguments: Any, **rest: Any) -> Any:
        key = key_of(*arguments, **rest)
        if key not in known:
            if len(known) >= _MOST:
                known.clear()
            known[key] = real(*arguments, **rest)
        return copy(known[key])

    return once


def _opening_once(real: Callable[..., Any]) -> Callable[..., Any]:
    def key_of(scheme: ThresholdScheme, merged: bytes, openings: Any, **rest: Any) -> Any:
        return (scheme, merged, tuple(sorted(openings.items())), *sorted(rest.items()))

    return _keyed(real, key_of, lambda lanes: lanes.copy())


def _parsed_key(terms: Terms, *rest: Any) -> Any:
    return terms.hash(), *rest


def _dealing_key(proof: Any, hashes: Any, *, context: Any, sender: int) -> Any:
    rows = (proof.sender, proof.threshold, proof.ephemeral, proof.signature)
    return rows, proof.coefficients.tobytes(), tuple(hashes), context, sender


def _step_key(
    terms: Any, number: int, parent: Any, layout: Any, lanes: Any, included: int
) -> tuple[Any, ...]:
    return terms.hash(), number, parent.hash, layout, lanes.tobytes(), included


def _copied(step: tuple[Any, Any]) -> tuple[Any, Any]:
    return dict(step[0]), dict(step[1])


def _terms_key(terms: Terms) -> tuple[Any, ...]:
    fields = {name: getattr(terms, name) for name in type(terms).__dataclass_fields__}
    parameters = tuple(sorted(fields.pop("parameters").items()))
    return *fields.items(), parameters


def _copied_json(plain: dict[str, Any]) -> dict[str, Any]:
    return {name: dict(v) if isinstance(v, dict) else v for name, v in plain.items()}
