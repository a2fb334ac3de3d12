"""One step of a Flower strategy as a pure function, so that any member can recompute a model."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
from flwr.app import ArrayRecord, MetricRecord, RecordDict
from flwr.serverapp.strategy import (
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedYogi,
    Strategy,
)
from numpy.typing import NDArray

from .._exceptions import (
    ConfigurationError,
    ModelRefused,
    OpeningRejected,
    UnsupportedStrategy,
)
from ..protocol.hashing import Arrays
from ..protocol.memory import Parent
from ..protocol.payload import Layout, Metrics
from ..protocol.terms import Terms
from ..protocol.update import apply_mean, cast_like, layers_of, trained_names
from .compat import detached_message
from .records import array_record, numpy_arrays

PARAMETERS: Final[Mapping[type[FedAvg], tuple[str, ...]]] = {
    FedAvg: (),  # FedProx too: it changes the clients' loss, not the step
    FedAvgM: ("server_learning_rate", "server_momentum"),
    FedAdam: ("eta", "eta_l", "beta_1", "beta_2", "tau"),
    FedYogi: ("eta", "eta_l", "beta_1", "beta_2", "tau"),
    FedAdagrad: ("eta", "eta_l", "tau"),
}
"""Strategies whose step needs only the weighted mean, and the numbers that determine it."""


@dataclass(frozen=True, kw_only=True)
class Spec:
    """Name and numbers of a strategy that members can replay."""

    name: str
    parameters: Mapping[str, float]


def spec_of(strategy: Strategy) -> Spec | None:
    """The step that `strategy` takes, or None if it may need individual updates.

    Decided by which class owns `aggregate_train`, so that subclasses that only change sampling or
    configuration are accepted and those that change aggregation are not.
    """
    for kind, names in PARAMETERS.items():
        owners = ("aggregate_train", "_compute_deltat_and_mt")
        same = all(getattr(type(strategy), o, None) is getattr(kind, o, None) for o in owners)
        if same:
            return Spec(
                name=kind.__name__,
                parameters={name: float(getattr(strategy, name)) for name in names},
            )
    return None


def require_spec(strategy: Strategy) -> Spec:
    """`spec_of`, or the reason why the strategy cannot work on sums."""
    spec = spec_of(strategy)
    if spec is None:
        names = ", ".join([*(kind.__name__ for kind in PARAMETERS), "FedProx"])
        raise UnsupportedStrategy(
            f"{type(strategy).__name__} aggregates individual updates, which encryption withholds "
            f"from everyone; use one of {names}, or accept plaintext updates with "
            'SwarmStrategy(..., encryption="none"). To only save or log models, keep FedAvg and '
            "pass evaluate_fn to start()"
        )
    return spec


def build(terms: Terms) -> FedAvg:
    """A fresh strategy object with the agreed numbers."""
    for kind, names in PARAMETERS.items():
        if kind.__name__ == terms.strategy and set(names) == set(terms.parameters):
            options = cast(dict[str, Any], dict(terms.parameters))
            return kind(weighted_by_key=terms.weight_key, **options)
    raise ConfigurationError(
        f"the swarm's terms name strategy {terms.strategy!r}, which this version cannot replay; "
        "install the version that founded the swarm"
    )


def server_state(strategy: Strategy) -> dict[str, NDArray[Any]]:
    """The optimiser state that a strategy carries from one round to the next."""
    state: dict[str, NDArray[Any]] = {}
    for slot in ("m_t", "v_t"):
        for name, array in (getattr(strategy, slot, None) or {}).items():
            state[f"{slot}/{name}"] = np.asarray(array)
    for position, array in enumerate(getattr(strategy, "momentum_vector", None) or ()):
        state[f"momentum/{position:06d}"] = np.asarray(array)
    return state


def check_state(terms: Terms, model: Arrays, state: Arrays) -> None:
    """Refuse server state from which the agreed strategy could never step beside this model.

    Nobody recomputes the first round's. If members trained on one that leads nowhere, each later
    round would be certified, opened, and lead nowhere too.

    Raises
    ------
    ModelRefused
    """
    shapes = {name: array.shape for name, array in state.items()}
    fits = not state or shapes == _slots(build(terms), model)
    numbers = all(a.dtype.kind in "fiub" and np.isfinite(a).all() for a in state.values())
    if not (fits and numbers and all((state[n] >= 0).all() for n in state if n[:4] == "v_t/")):
        raise ModelRefused(
            f"the server state offered beside the model ({len(state)} arrays, {sorted(state)[:3]} "
            f"first) is none that {terms.strategy} can step from; this site trains on no other. "
            "The relay may be compromised: compare with another member"
        )


def restore(strategy: Strategy, model: Arrays, state: Arrays) -> None:
    """Put `strategy` where it stands before it steps from `model`."""
    target = cast(Any, strategy)
    if isinstance(strategy, FedAvgM):
        momentum = [state[name] for name in sorted(state) if name.startswith("momentum/")]
        target.momentum_vector = momentum or None
        target.current_arrays = array_record(_by_name(model))
    elif hasattr(strategy, "m_t"):
        for slot in ("m_t", "v_t"):
            cut = len(slot) + 1
            found = {name[cut:]: state[name] for name in state if name.startswith(f"{slot}/")}
            setattr(target, slot, found or None)
        target.current_arrays = {name: np.asarray(array) for name, array in model.items()}


def _by_name(model: Arrays) -> dict[str, NDArray[Any]]:
    """In ascending order of names: FedAvgM tells its momenta apart by place, hashes do not.

    Else whoever carries a model could reorder its arrays, and members would step to another.
    """
    return {name: model[name] for name in sorted(model)}


def _slots(strategy: Strategy, model: Arrays) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the state that a strategy keeps, once it has stepped."""
    if isinstance(strategy, FedAvgM):
        shapes = enumerate(array.shape for array in _by_name(model).values())
        return {f"momentum/{position:06d}": shape for position, shape in shapes}
    slots = [slot for slot in ("m_t", "v_t") if hasattr(strategy, slot)]
    return {f"{slot}/{name}": array.shape for slot in slots for name, array in model.items()}


def mean_reply(averaged: Arrays, metrics: Metrics, weight_key: str, weight: float) -> RecordDict:
    """The one reply that stands for all: the weighted mean, with the whole weight."""
    return RecordDict(
        {
            "arrays": array_record(averaged),
            "metrics": MetricRecord({**metrics, weight_key: weight}),
        }
    )


def mean_metrics(values: tuple[float, ...], layout: Layout) -> Metrics:
    """Metrics by name again; a count of zero marks a scalar."""
    metrics: Metrics = {}
    position = 0
    for name, count in layout:
        if count == 0:
            metrics[name] = values[position]
        else:
            metrics[name] = list(values[position : position + count])
        position += max(count, 1)
    return metrics


def layout_size(layout: Layout) -> int:
    """How many numbers a layout holds."""
    return sum(max(count, 1) for _, count in layout)


@dataclass(frozen=True)
class Stepped:
    """A strategy's step: the next model, its server state, and the mean metrics.

    `clipped` counts updates that were scaled down; `rounding_error` bounds what rounding moved
    each value of the mean by, in the model's units, and `rounding_share` is the expected length
    of all that over the mean update's own; infinite if that is zero.
    """

    model: dict[str, NDArray[Any]]
    state: dict[str, NDArray[Any]]
    metrics: MetricRecord | None
    clipped: int
    rounding_error: float
    rounding_share: float


def step(
    strategy: Strategy,
    terms: Terms,
    number: int,
    parent: Parent,
    layout: Layout,
    lanes: NDArray[np.uint64],
    included: int,
) -> Stepped:
    """Decode opened lane sums and let `strategy` step on their mean.

    Deterministic: the same sums give the same bits in every process (Flower's strategies are
    plain numpy; the model is cast back to its own dtypes).

    Raises
    ------
    OpeningRejected, UpdateMismatch
        If the lanes are not a sum of encoded updates of this model, or lead to a value that is
        not finite: some member sealed something else.
    """
    size = sum(parent.model[name].size for name in trained_names(parent.model))
    mean = terms.codec().decode(
        lanes,
        included=included,
        size=size,
        metrics=layout_size(layout),
        layers=layers_of(terms, parent.model),
    )
    averaged = apply_mean(_by_name(parent.model), mean.update)
    metrics = mean_metrics(mean.metrics, layout)
    restore(strategy, parent.model, parent.state)
    reply = detached_message(mean_reply(averaged, metrics, terms.weight_key, mean.weight))
    with _quiet_count():
        arrays, out_metrics = strategy.aggregate_train(number, [reply])
    stepped = numpy_arrays(cast(ArrayRecord, arrays))
    model = cast_like({name: stepped[name] for name in parent.model}, parent.model)
    if not all(np.isfinite(array).all() for array in model.values() if array.dtype.kind == "f"):
        raise OpeningRejected(
            f"the sum of round {number} leads to values that are not finite; a member sealed "
            "something else than an update, or the model's dtype is too narrow"
        )
    return Stepped(
        model,
        server_state(strategy),
        out_metrics,
        mean.clipped,
        mean.rounding_error,
        mean.rounding_norm / length if (length := float(np.linalg.norm(mean.update))) else math.inf,
    )


def replay(
    terms: Terms,
    number: int,
    parent: Parent,
    layout: Layout,
    lanes: NDArray[np.uint64],
    included: int,
) -> tuple[Arrays, Arrays]:
    """The next model and server state, as `protocol.member.Replay` wants them."""
    stepped = step(build(terms), terms, number, parent, layout, lanes, included)
    return stepped.model, stepped.state


@contextmanager
def _quiet_count() -> Iterator[None]:
    """Hide Flower's "Received 1 results": the one reply stands for all of them."""

    def informative(record: logging.LogRecord) -> bool:
        return "Received %s results" not in str(record.msg)

    logger = logging.getLogger("flwr")
    logger.addFilter(informative)
    try:
        yield
    finally:
        logger.removeFilter(informative)
