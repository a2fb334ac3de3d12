"""The demo's patients: four unequal sites, and a fifth cohort that no site holds.

Nothing here looks at more than one row at a time. A hospital may not use another's rows, so gaps
are filled and columns scaled with public constants, categories come from fixed vocabularies, and
a row's place (training or held out) is a hash of its identifier: no statistic of the data and no
random generator decides anything.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flwr_swarm._exceptions import ConfigurationError

from .download import support2_csv

TRAIN_SHARE: Final = 0.6
"""Share of a site's rows it trains on. The rest never trains: it is the site's own validation set,
and the non-members without which nobody can measure a membership attack."""

DATASETS: Final = ("support2", "breast-cancer")


@dataclass(frozen=True, kw_only=True, eq=False)
class Cohort:
    """Rows that belong together.

    Parameters
    ----------
    name : str
        What a person calls it.
    x : float32 array, shape (n, features)
    y : float32 array, shape (n,)
        1.0 for the outcome.
    ids : int64 array, shape (n,)
        Row identifiers of the source, unique over the whole data set.
    """

    name: str
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    ids: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.y)

    def where(self, mask: NDArray[np.bool_]) -> Cohort:
        """The rows for which `mask` is true, in the same order."""
        return Cohort(name=self.name, x=self.x[mask], y=self.y[mask], ids=self.ids[mask])


@dataclass(frozen=True, kw_only=True, eq=False)
class Site:
    """One hospital: what it trains on, and what it keeps back."""

    name: str
    train: Cohort
    held_out: Cohort


@dataclass(frozen=True, kw_only=True, eq=False)
class Federation:
    """All of a demo's data, as nobody but the demo ever sees it in one place.

    Parameters
    ----------
    dataset, outcome : str
    features : tuple of str
        Names of the columns of every `x`.
    sites : tuple of Site
    external : Cohort
        Rows of no site: the validation set.
    """

    dataset: str
    outcome: str
    features: tuple[str, ...]
    sites: tuple[Site, ...]
    external: Cohort


def load(dataset: str) -> Federation:
    """Load a data set and cut it into sites.

    Parameters
    ----------
    dataset : {"support2", "breast-cancer"}

    Raises
    ------
    ConfigurationError
        For an unknown name, or when the data can be neither found nor fetched.
    """
    if dataset not in DATASETS:
        raise ConfigurationError(
            f"dataset must be one of {', '.join(DATASETS)}, got {dataset!r}; choose one of them"
        )
    return _load(dataset)


@cache
def _load(dataset: str) -> Federation:
    return _support2() if dataset == "support2" else _breast_cancer()


def is_training_row(dataset: str, row: int) -> bool:
    """Whether a row of a site trains; a function of its identifier alone."""
    digest = hashlib.sha256(f"flwr_swarm/{dataset}/{row}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < TRAIN_SHARE * 2**64


def _federation(
    dataset: str,
    outcome: str,
    features: Sequence[str],
    cohorts: Sequence[Cohort],
    external: Cohort,
) -> Federation:
    def site(cohort: Cohort) -> Site:
        mask = np.array([is_training_row(dataset, int(row)) for row in cohort.ids], dtype=np.bool_)
        return Site(name=cohort.name, train=cohort.where(mask), held_out=cohort.where(~mask))

    return Federation(
        dataset=dataset,
        outcome=outcome,
        features=tuple(features),
        sites=tuple(site(cohort) for cohort in cohorts),
        external=external,
    )


# --- SUPPORT2 ----------------------------------------------------------------------------------

# Known on day 3, for every patient alike. Left out: what is known only later or is the outcome in
# another shape (death, hospdead, slos, d.time, sfdm2, charges, totcst, totmcst, avtisst, which
# averages to day 25; dnr and dnrday, orders that follow the course), predictions by models and
# physicians (sps, aps, surv2m, surv6m, prg2m, prg6m), what the patient or next of kin had to be
# fit to answer (adlp, adls, edu, income), race, and the disease group, by which sites are cut.
# (fill, centre, scale): fill values for alb, pafi, bili, crea, bun, wblc and urine are those that
# SUPPORT's authors publish with the data; the others are textbook normals. Centre and scale are
# round numbers of the same kind. None is computed from rows.
_NUMBERS: Final[Mapping[str, tuple[float, float, float]]] = {
    "age": (60.0, 60.0, 15.0),
    "num.co": (0.0, 2.0, 1.5),
    "scoma": (0.0, 10.0, 25.0),
    "hday": (1.0, 5.0, 10.0),
    "diabetes": (0.0, 0.0, 1.0),
    "dementia": (0.0, 0.0, 1.0),
    "meanbp": (90.0, 85.0, 25.0),
    "wblc": (9.0, 12.0, 9.0),
    "hrt": (80.0, 95.0, 30.0),
    "resp": (16.0, 23.0, 10.0),
    "temp": (37.0, 37.0, 1.25),
    "pafi": (333.3, 250.0, 100.0),
    "alb": (3.5, 3.0, 0.8),
    "bili": (1.01, 2.5, 5.0),
    "crea": (1.01, 1.75, 1.7),
    "sod": (140.0, 138.0, 6.0),
    "ph": (7.4, 7.4, 0.08),
    "glucose": (100.0, 150.0, 80.0),
    "bun": (6.51, 25.0, 25.0),
    "urine": (2502.0, 2200.0, 1400.0),
    "adlsc": (0.0, 2.0, 2.0),
}
_CATEGORIES: Final[Mapping[str, tuple[str, ...]]] = {
    "sex": ("female", "male"),
    "ca": ("no", "yes", "metastatic"),
}
_SITES: Final[Mapping[str, tuple[str, ...]]] = {
    "Intensive care": ("ARF/MOSF w/Sepsis",),
    "Heart and lung": ("CHF", "COPD"),
    "Oncology": ("Lung Cancer", "Colon Cancer"),
    "Neurology": ("Coma",),
}
_EXTERNAL: Final = ("MOSF w/Malig", "Cirrhosis")
_BOUND: Final = 5.0
"""Scaled values are cut at this many scales: one typing error must not rule a model."""


def _support2() -> Federation:
    with support2_csv().open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    features = [*_NUMBERS, *(f"{name}={v}" for name, values in _CATEGORIES.items() for v in values)]

    def vector(row: Mapping[str, str]) -> list[float]:
        numbers = [
            (float(row[name] or fill) - centre) / scale
            for name, (fill, centre, scale) in _NUMBERS.items()
        ]
        flags = [
            float(row[name] == value) for name, values in _CATEGORIES.items() for value in values
        ]
        return numbers + flags

    x = np.clip(np.array([vector(row) for row in rows], dtype=np.float32), -_BOUND, _BOUND)
    y = np.array([float(row["hospdead"]) for row in rows], dtype=np.float32)
    ids = np.array([int(row["sno"]) for row in rows], dtype=np.int64)
    group = np.array([row["dzgroup"] for row in rows])
    everyone = Cohort(name="SUPPORT2", x=x, y=y, ids=ids)

    def cohort(name: str, groups: Sequence[str]) -> Cohort:
        rows_of = everyone.where(np.isin(group, groups))
        return Cohort(name=name, x=rows_of.x, y=rows_of.y, ids=rows_of.ids)

    return _federation(
        "support2",
        "death in hospital",
        features,
        [cohort(name, groups) for name, groups in _SITES.items()],
        cohort("Cirrhosis, or organ failure with malignancy", _EXTERNAL),
    )


# --- breast-cancer -----------------------------------------------------------------------------

# Centre and scale of the ten measurements of Wisconsin's "mean" columns, as rounded constants.
_WISCONSIN: Final[Mapping[str, tuple[float, float]]] = {
    "mean radius": (14.0, 3.5),
    "mean texture": (19.0, 4.3),
    "mean perimeter": (92.0, 24.0),
    "mean area": (650.0, 350.0),
    "mean smoothness": (0.096, 0.014),
    "mean compactness": (0.10, 0.053),
    "mean concavity": (0.09, 0.08),
    "mean concave points": (0.05, 0.04),
    "mean symmetry": (0.18, 0.027),
    "mean fractal dimension": (0.063, 0.007),
}
_TEXTURE_CUTS: Final = (15.0, 17.5, 21.0)
"""Sites differ in the texture of the tissue that they see; the cuts make them unequal."""
_EXTERNAL_SHARE: Final = 0.3


def _breast_cancer() -> Federation:
    try:
        from sklearn.datasets import load_breast_cancer  # noqa: PLC0415 - an optional extra
    except ImportError:
        raise ConfigurationError(
            "scikit-learn is not installed; install the demo's extra: pip install flwr-swarm[demo]"
        ) from None
    bunch = load_breast_cancer()
    column: Callable[[str], int] = list(bunch.feature_names).index
    x = np.stack(
        [
            (bunch.data[:, column(name)] - centre) / scale
            for name, (centre, scale) in _WISCONSIN.items()
        ],
        axis=1,
    ).astype(np.float32)
    y = (bunch.target == 0).astype(np.float32)  # 0 is "malignant" in the bundled file
    ids = np.arange(len(y), dtype=np.int64)
    everyone = Cohort(name="Wisconsin", x=np.clip(x, -_BOUND, _BOUND), y=y, ids=ids)

    digests = [hashlib.sha256(f"flwr_swarm/external/{row}".encode()).digest() for row in ids]
    outside = np.array([d[0] < 256 * _EXTERNAL_SHARE for d in digests], dtype=np.bool_)
    texture = np.digitize(bunch.data[:, column("mean texture")], _TEXTURE_CUTS)

    def cohort(name: str, mask: NDArray[np.bool_]) -> Cohort:
        rows_of = everyone.where(mask)
        return Cohort(name=name, x=rows_of.x, y=rows_of.y, ids=rows_of.ids)

    return _federation(
        "breast-cancer",
        "malignant tumour",
        list(_WISCONSIN),
        [cohort(f"Clinic {'ABCD'[k]}", (texture == k) & ~outside) for k in range(4)],
        cohort("Patients of no clinic", outside),
    )
