"""How long an update is, in all and array by array: what bounds of `SwarmStrategy` belong above.

The figures of a site's own training are as private as its data; see `PRIVATE`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from flwr_swarm._exceptions import ConfigurationError

PRIVATE: Final = (
    "Norms of a site's own update tell of its records, and no noise was added to them: they are "
    "private. Choose bounds from two global models of a run instead, which all members have, from "
    "public data, or from models that were trained with make_private."
)
_ROOM: Final = 1.5


@dataclass(frozen=True, kw_only=True)
class ArrayNorm:
    """One array's part of an update.

    Parameters
    ----------
    name : str
    size : int
    norm : float
        L2 norm.
    largest : float
        Of the entries' magnitudes.
    """

    name: str
    size: int
    norm: float
    largest: float


def update_norms(before: Path, after: Path) -> tuple[ArrayNorm, ...]:
    """Each floating array's part of the difference of two saved models, by name.

    Parameters
    ----------
    before, after : Path
        Files by `torch.save` (a state dict) or `numpy.savez`, of the same model.

    Raises
    ------
    ConfigurationError
        If a file cannot be read, or the two are not of one model.
    """
    first, second = _arrays(before), _arrays(after)
    if {k: v.shape for k, v in first.items()} != {k: v.shape for k, v in second.items()}:
        raise ConfigurationError(
            f"{before} and {after} hold arrays of other names or shapes; give two states of the "
            "same model"
        )
    steps = {name: second[name] - first[name] for name in sorted(first)}
    return tuple(
        ArrayNorm(
            name=name,
            size=step.size,
            norm=float(np.linalg.norm(step.ravel())),
            largest=float(np.max(np.abs(step), initial=0.0)),
        )
        for name, step in steps.items()
    )


def whole(norms: Iterable[ArrayNorm]) -> float:
    """L2 norm of the whole update: what `clip` should be a little above."""
    return math.hypot(*(one.norm for one in norms))


def suggestion(norms: Iterable[ArrayNorm]) -> str:
    """Options of `SwarmStrategy` with half as much room again, arrays that did not move aside.

    An array gets a bound of its L2 norm where that is less than half of the whole's.
    """
    moved = [one for one in norms if one.norm > 0]
    clip = _above(whole(moved))
    layers = {one.name: _above(one.norm) for one in moved if 2 * _above(one.norm) < clip}
    entries = {one.name: min(_above(one.largest), clip) for one in moved}
    return f"clip={clip:g},\nlayer_clips={layers},\nentry_clips={entries},"


def _above(value: float) -> float:
    """`value` and room, rounded up to two digits."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** (math.floor(math.log10(_ROOM * value)) - 1)
    return float(f"{math.ceil(_ROOM * value / unit) * unit:.2g}")


def _arrays(path: Path) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    read: Callable[[Path], dict[str, Any]] = _npz if path.suffix == ".npz" else _torch
    try:
        found = {name: np.asarray(value) for name, value in read(path).items()}
        return {name: a.astype(np.float64) for name, a in found.items() if a.dtype.kind == "f"}
    except Exception as error:  # the two loaders raise whatever a broken file makes them raise
        raise ConfigurationError(
            f"{path} is not a saved model ({type(error).__name__}); give a state dict written by "
            "torch.save, or an .npz file"
        ) from None


def _npz(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _torch(path: Path) -> dict[str, Any]:
    import torch  # noqa: PLC0415 - slow, and an .npz does not need it

    found = torch.load(path, weights_only=True, map_location="cpu")
    return {n: t.double() if t.is_floating_point() else t for n, t in found.items()}
