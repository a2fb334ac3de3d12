"""Between a model's named arrays and the one float64 vector that is sealed."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._exceptions import NonFiniteUpdate, UpdateMismatch
from ..encryption import Layer
from .hashing import Arrays
from .terms import Terms

TRAINED_DTYPES = frozenset({"float16", "float32", "float64"})
_REMEDIES = {
    "V": "if it is bfloat16, whose type Flower's numpy format loses, send it as float32 "
    "(tensor.float()), which holds each of its values, and cast back in the train function",
    "c": "send its real and imaginary part (torch.view_as_real), each a value to be trained",
    "U": "send text in a ConfigRecord, or leave it out of the model",
    "S": "send text in a ConfigRecord, or leave it out of the model",
}
_REMEDY = "send it as float32, or leave it out of the model"


def trained_names(model: Arrays) -> list[str]:
    """Names of the floating arrays, ascending; integer buffers are counters and stay global."""
    names = []
    for name in sorted(model):
        kind = model[name].dtype
        if kind.name in TRAINED_DTYPES:
            names.append(name)
        elif kind.kind not in "iub":
            raise _unencodable(name, kind)
    return names


def _unencodable(name: str, dtype: np.dtype[Any]) -> UpdateMismatch:
    return UpdateMismatch(
        f"array {name!r} has dtype {dtype.name}, which cannot be encoded (trained arrays are "
        f"{', '.join(sorted(TRAINED_DTYPES))}, other buffers integer or bool); "
        f"{_REMEDIES.get(dtype.kind, _REMEDY)}"
    )


def check_model(terms: Terms, model: Arrays) -> None:
    """Refuse a model that cannot be sealed, before anybody trains it.

    Raises
    ------
    UpdateMismatch
        If an array is of a dtype that cannot be encoded, none holds a value to encrypt, or the
        terms have a bound for an array that is not there.
    """
    values = sum(model[name].size for name in trained_names(model))
    if not values and terms.encryption != "none":
        raise UpdateMismatch(
            f"none of the model's {len(model)} arrays holds a floating value to train; send what "
            "is trained as float16, float32 or float64"
        )
    layers_of(terms, model)


def layers_of(terms: Terms, model: Arrays) -> tuple[Layer, ...]:
    """The trained arrays in the order of the vector, with the bounds that the terms give them.

    Empty if the terms give none.

    Raises
    ------
    UpdateMismatch
        If a pattern of the terms is of no array: it was meant for one.
    """
    if not (terms.layer_clips or terms.entry_clips):
        return ()
    names = trained_names(model)
    clips = _bounds("layer_clips", terms.layer_clips, names)
    largest = _bounds("entry_clips", terms.entry_clips, names)
    return tuple(
        Layer(size=model[name].size, clip=clips.get(name), largest=largest.get(name))
        for name in names
    )


def _bounds(
    option: str, given: tuple[tuple[str, float], ...], names: list[str]
) -> dict[str, float]:
    """The bound of each array that has one: that of the first pattern that it matches."""
    left = list(names)
    found: dict[str, float] = {}
    for pattern, bound in given:
        matching = [name for name in left if fnmatchcase(name, pattern)]
        if not matching:
            raise UpdateMismatch(
                f"{option} names {pattern!r}, which matches no trained array of this model that "
                f"an earlier pattern does not; its arrays are {', '.join(names)}"
            )
        found |= dict.fromkeys(matching, bound)
        left = [name for name in left if name not in found]
    return found


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
        if new.dtype.name not in TRAINED_DTYPES and new.dtype.kind not in "iub":
            raise _unencodable(name, new.dtype)
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
        with np.errstate(over="ignore"):
            part = (new.astype(np.float64) - old.astype(np.float64)).ravel()
        if not np.isfinite(part).all():
            raise NonFiniteUpdate(
                f"array {name!r} moved by more than a float64 holds; nothing was sealed. Lower the "
                "learning rate or clip gradients"
            )
        parts.append(part)
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
    """`arrays` in the dtypes of `model`, whose integer buffers stay bit for bit what they are.

    Strategies step in floats, which do not hold each 64-bit integer.
    """
    trained = set(trained_names(model))
    return {
        name: np.asarray(array).astype(model[name].dtype)
        if name in trained
        else np.array(model[name])
        for name, array in arrays.items()
    }
