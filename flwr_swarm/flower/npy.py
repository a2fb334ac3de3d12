"""An array as numpy saves it, from a stranger: the header is read here, and claims what is there.

numpy's own reader makes room for whatever a header claims before it looks for the data, and
evaluates what describes the dtype.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .._exceptions import WireError
from .._octets import Octets

_MAGIC: Final = b"\x93NUMPY\x01\x00"
_START: Final = len(_MAGIC) + 2
_MOST_SIDES: Final = 32
_HEADER: Final = re.compile(
    rb"\{'descr': '([<>|](?:[fiubcVSU][0-9]{1,9}|[mM]8\[[0-9]{0,3}[A-Za-z]{1,2}\]))', "
    rb"'fortran_order': (True|False), "
    rb"'shape': \(((?:[0-9]{1,19}, ?)*(?:[0-9]{1,19})?)\), \} *\n"
)


def read_npy(data: Octets) -> NDArray[Any]:
    """The array in `data`, with memory of its own, no larger than `data`.

    Raises
    ------
    WireError
        The bytes are not what numpy saves of one plain array, format 1.0.
    """
    size = int.from_bytes(data[len(_MAGIC) : _START], "little")
    header = _HEADER.fullmatch(data[_START : _START + size])
    if data[: len(_MAGIC)] != _MAGIC or header is None:
        raise WireError("the array's header is not one that numpy writes")
    shape = tuple(int(side) for side in header[3].replace(b" ", b"").split(b",") if side)
    try:
        dtype = np.dtype(header[1].decode())
    except (TypeError, ValueError):
        raise WireError(f"the array's dtype {header[1].decode()!r} is unknown here") from None
    count, start = math.prod(shape[:_MOST_SIDES]), _START + size
    if len(shape) > _MOST_SIDES or count * dtype.itemsize != len(data) - start:
        raise WireError(f"the array's shape does not fit its {len(data) - start} bytes")
    order: Any = "F" if header[2] == b"True" else "C"
    try:
        flat = np.frombuffer(data, dtype, count, start) if count else np.empty(0, dtype)
        return flat.reshape(shape, order=order).copy(order=order)
    except ValueError:  # an empty array with a side that numpy cannot count
        raise WireError("the array's shape is none that numpy has") from None
