"""What the chain alone tells: guesses of models checked against its hashes, epsilons read back."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from flwr_swarm.chain.replay import replay
from flwr_swarm.privacy.accounting import Charge, History
from flwr_swarm.protocol.hashing import Arrays, model_hash
from flwr_swarm.protocol.types import EPSILON_UNIT

from .membership import Array
from .views import ChainObserver

_FEW, _MOST_BATCHES = 32, 1 << 20


def models_named(seen: ChainObserver) -> frozenset[bytes]:
    """Hashes of the global models that rounds were trained on."""
    return frozenset(one.round.parent for one in replay(dict(seen.ledger)).rounds)


def confirmed(seen: ChainObserver, guesses: Iterable[tuple[Arrays, Arrays]]) -> Array:
    """Guess and check: is a model that somebody computed one of those that the chain names?

    A hash of a model hides nothing from those who can compute the model: who knows the code and
    all other rows needs one guess with the example and one without.

    Parameters
    ----------
    seen : ChainObserver
    guesses : iterable of (Arrays, Arrays)
        For each example a global model after training with it, and one without it. The strategy
        must keep no state (FedAvg).

    Returns
    -------
    float array
        1 where the first alone is named, -1 where the second alone is, else 0.
    """
    named = models_named(seen)
    hits = [[float(model_hash(model, {}) in named) for model in pair] for pair in guesses]
    found = np.array(hits, dtype=np.float64).reshape(-1, 2)
    scores: Array = found[:, 0] - found[:, 1]
    return scores


def epsilons(seen: ChainObserver) -> dict[int, tuple[int, ...]]:
    """Micro-epsilon that each member had spent after each round that it sealed."""
    found: dict[int, tuple[int, ...]] = {}
    for record in replay(dict(seen.ledger)).rounds:
        for seal in record.round.seals:
            found[seal.member] = (*found.get(seal.member, ()), seal.epsilon)
    return found


def batches_told(
    micro_epsilon: int, *, rounds: int, epochs: int, noise_multiplier: float, delta: float
) -> list[int]:
    """How many batches a site's data fill, from the epsilon on chain and the run config.

    More batches mean that each record is sampled more rarely, so that epsilon falls (from a few
    batches on; the few are all tried). With the batch size B the site has more than
    (batches - 1) * B records, and at most batches * B.

    Parameters
    ----------
    micro_epsilon : int
        From `epsilons`.
    rounds, epochs : int
        Rounds that the site sealed, and passes over its data in each.
    noise_multiplier, delta : float
        As given to `make_private`.

    Returns
    -------
    list of int
        All numbers of batches that give this epsilon; empty if none does.
    """

    def spent(batches: int) -> int:
        charge = Charge(
            noise_multiplier=noise_multiplier,
            sample_rate=1 / batches,
            steps=rounds * epochs * batches,
        )
        epsilon = History(charges=(charge,), delta=delta, rounds=rounds).epsilon()
        return int(np.ceil((epsilon or 0.0) * EPSILON_UNIT))

    def first(highest: int) -> int:
        """The fewest batches of many whose epsilon is not above `highest`."""
        low, high = _FEW, _MOST_BATCHES
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if spent(middle) <= highest else (middle + 1, high)
        return low

    few = [batches for batches in range(1, _FEW) if spent(batches) == micro_epsilon]
    return [*few, *range(first(micro_epsilon), first(micro_epsilon - 1))]
