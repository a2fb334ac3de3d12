"""A one-time key works once: in one thread of one process, and no copy of it works at all."""

from __future__ import annotations

import copy
import gc
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from encryption_support import deterministic, public_keys, round_context
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr_swarm._exceptions import ConfigurationError, KeyReused
from flwr_swarm.encryption import ThresholdScheme, dealing
from flwr_swarm.encryption.key import OneTimeKey

THREADS = 8


def fresh(seed: int | str = "key") -> OneTimeKey:
    return OneTimeKey(random=deterministic(seed))


def memory_of(key: OneTimeKey) -> np.ndarray:
    """The array that the key holds, whatever it calls it."""
    (array,) = (one for one in gc.get_referents(key) if isinstance(one, np.ndarray))
    return array


def test_it_works_once_and_leaves_zeros() -> None:
    key = fresh()
    assert repr(key) == "OneTimeKey(unused)"
    with key.spend() as secret:
        assert secret.any()
    assert not secret.any()
    assert repr(key) == "OneTimeKey(spent)"
    with pytest.raises(KeyReused, match="used before"), key.spend():
        pass


@pytest.mark.parametrize(
    "attempt",
    [
        copy.copy,
        copy.deepcopy,
        lambda key: copy.deepcopy([key]),
        *(lambda key, p=p: pickle.dumps(key, p) for p in range(pickle.HIGHEST_PROTOCOL + 1)),
    ],
)
@pytest.mark.parametrize("spent", [False, True])
def test_it_has_no_copies(attempt: Callable[[OneTimeKey], object], spent: bool) -> None:
    key = fresh()
    if spent:
        with key.spend():
            pass
    with pytest.raises(KeyReused, match="cannot be copied"):
        attempt(key)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, GeneratorExit])
def test_it_is_spent_also_when_its_use_fails(error: type[BaseException]) -> None:
    key = fresh()
    with pytest.raises(error), key.spend() as secret:
        raise error
    assert not secret.any()
    with pytest.raises(KeyReused), key.spend():
        pass


def test_a_use_within_the_use_is_refused_and_ends_neither() -> None:
    key = fresh()
    with key.spend() as secret:
        with pytest.raises(KeyReused), key.spend():
            pass
        assert secret.any()
    assert not secret.any()


def test_a_use_that_is_left_lying_leaves_zeros() -> None:
    """A generator that holds the key, and is never run to its end."""

    def user(key: OneTimeKey) -> Iterator[np.ndarray]:
        with key.spend() as secret:
            yield secret

    key = fresh()
    running = user(key)
    secret = next(running)
    assert secret.any()
    del running
    gc.collect()
    assert not secret.any()
    with pytest.raises(KeyReused), key.spend():
        pass


def test_asking_without_entering_spends_nothing() -> None:
    key = fresh()
    key.spend()
    with key.spend() as secret:
        assert secret.any()


def test_a_key_that_is_never_spent_leaves_zeros() -> None:
    key = fresh()
    array = memory_of(key)
    assert array.any()
    del key
    gc.collect()
    assert not array.any()


def test_who_borrows_the_secret_changes_nothing() -> None:
    with fresh().spend() as secret, pytest.raises(ValueError, match="read-only"):
        secret[0] = 1


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_of_threads_that_spend_at_once_exactly_one_succeeds(seed: int) -> None:
    key, start = fresh(seed), Barrier(THREADS)

    def attempt(_: int) -> bool:
        start.wait(60)
        try:
            with key.spend() as secret:
                return bool(secret.any())
        except KeyReused:
            return False

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            assert sum(pool.map(attempt, range(THREADS))) == 1
    finally:
        sys.setswitchinterval(before)


FORKING = """
import os
from flwr_swarm._exceptions import KeyReused
from flwr_swarm.encryption.key import OneTimeKey
key = OneTimeKey(random=os.urandom)
child = os.fork()
try:
    with key.spend() as secret:
        spent = secret.any()
except KeyReused:
    spent = False
if child == 0:
    os._exit(7 if spent else 0)
_, status = os.waitpid(child, 0)
print(bool(spent), os.waitstatus_to_exitcode(status))
"""


def test_a_forked_process_has_no_second_use() -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORKING]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.split() == ["True", "0"]


def test_a_source_that_is_short_makes_no_key() -> None:
    with pytest.raises(ValueError, match="bytes"):
        OneTimeKey(random=lambda count: bytes(count - 1))


# --- what is left in our own arrays ---------------------------------------------------------------


@pytest.fixture
def arrays(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """All that a dealing makes of a key: its polynomial's coefficients, and the shares."""
    seen: list[np.ndarray] = []
    polynomial, evaluate = dealing.polynomial, dealing.evaluate

    def polynomials(secret: np.ndarray, **rest: object) -> np.ndarray:
        made = polynomial(secret, **rest)
        seen.extend((secret, made))
        return made

    def shares(coefficients: np.ndarray, point: int) -> np.ndarray:
        share = evaluate(coefficients, point)
        seen.append(share)
        return share

    monkeypatch.setattr(dealing, "polynomial", polynomials)
    monkeypatch.setattr(dealing, "evaluate", shares)
    return seen


def test_a_dealing_leaves_no_coefficient_and_no_share(arrays: list[np.ndarray]) -> None:
    lanes = np.ones(3, np.uint32)
    ThresholdScheme().seal(
        lanes, context=round_context(), sender=0, holders=public_keys(4), threshold=3
    )
    assert len(arrays) == 2 + 4
    assert not any(one.any() for one in arrays)


def test_a_dealing_that_fails_leaves_none_either(arrays: list[np.ndarray]) -> None:
    holders = [*public_keys(4)[:3], bytes(32)]
    with pytest.raises(ConfigurationError, match="rotate"):
        ThresholdScheme().seal(
            np.ones(3, np.uint32), context=round_context(), sender=0, holders=holders, threshold=3
        )
    assert len(arrays) == 2 + 4
    assert not any(one.any() for one in arrays)
