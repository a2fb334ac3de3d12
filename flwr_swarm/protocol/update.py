"""Between a model's named arrays and the one float64 vector that is sealed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._exceptions import NonFiniteUpdate, UpdateMismatch
from .hashing import Arrays

TRAINED_DTYPES = frozenset({"float16", "float32", "float64"})


def trained_names(model: Arrays) -> list[str]:
    """Names of the floating arrays, ascending; integer buffers are counters and stay global."""
    names = []
    for name in sorted(model):
        kind = model[name].dtype
        if kind.name in TRAINED_DTYPES:
            names.append(name)
        elif kind.kind not in "iub":
            raise UpdateMismatch(
                f"array {name!r} has dtype {kind.name}, which cannot be encoded; "
                f"use one of {', '.join(sorted(TRAINED_DTYPES))}"
            )
    return names


def difference(trained: Arrays, model: Arrays) -> NDArray[np.float64]:
    """Trained minus global as one vector.

    Raises
    ------
    UpdateMismatch
        If names, shapes or dtypes differ from the global model's.
    NonFiniteUpdate
        If a trained value is NaN or infinite.
    """
    if set(trained) != set(model):
        extra, missing = sorted(set(trained) - set(model)), sorted(set(model) - set(trained))
        raise UpdateMismatch(
            f"the reply's arrays differ from the global model's: extra {extra[:3]}, missing "
            f"{missing[:3]}; return exactly the arrays that the train message held"
        )
    parts = []
    for name in trained_names(model):
        new, old = trained[name], model[name]
        if new.shape != old.shape or new.dtype.name not in TRAINED_DTYPES:
            raise UpdateMismatch(
                f"array {name!r} came back as {new.dtype.name}{list(new.shape)}, the global model "
                f"holds {old.dtype.name}{list(old.shape)}; return it as it was sent"
            )
        if not np.isfinite(new).all():
            count = int(np.size(new) - np.count_nonzero(np.isfinite(new)))
            raise NonFiniteUpdate(
                f"array {name!r} holds {count} NaN or infinite values of {np.size(new)}; nothing "
                "was sealed. Lower the learning rate or clip gradients"
            )
        parts.append((new.astype(np.float64) - old.astype(np.float64)).ravel())
    return np.concatenate(parts) if parts else np.zeros(0)


def apply_mean(model: Arrays, mean: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    """The weighted mean of the members' models: global plus mean difference, in its dtypes."""
    out: dict[str, NDArray[Any]] = {name: np.array(array) for name, array in model.items()}
    position = 0
    for name in trained_names(model):
        old = model[name]
        step = mean[position : position + old.size].reshape(old.shape)
        out[name] = np.asarray(old.astype(np.float64) + step).astype(old.dtype)
        position += old.size
    if position != mean.size:
        raise UpdateMismatch(f"the mean holds {mean.size} values, the model {position}")
    return out


def cast_like(arrays: Arrays, model: Arrays) -> dict[str, NDArray[Any]]:
    """`arrays` in the dtypes of `model`; whole-number buffers are rounded, not truncated."""
    out: dict[str, NDArray[Any]] = {}
    for name, array in arrays.items():
        dtype = model[name].dtype
        whole = dtype.kind in "iub" and array.dtype.kind == "f"
        out[name] = (np.rint(array) if whole else np.asarray(array)).astype(dtype)
    return out
