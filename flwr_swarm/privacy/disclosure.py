"""Everything that leaves a site in a round, and what protects it; a test checks it on the wire.

Epsilon bounds what is published with noise. Nothing else is inside it, so nothing else may leave
but by one of these roads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Road = Literal["encrypted", "clear", "chain"]


@dataclass(frozen=True, kw_only=True)
class Disclosure:
    """Something that leaves a site.

    Parameters
    ----------
    what : str
    road : {"encrypted", "clear", "chain"}
        Encrypted things are opened in a sum over the included members only.
    in_epsilon : bool
        Whether the noise of DP covers it.
    of_data : bool
        Whether it depends on patients' data at all.
    remark : str
        What a site can do about it.
    """

    what: str
    road: Road
    in_epsilon: bool
    of_data: bool
    remark: str = ""


DISCLOSURES: Final = (
    Disclosure(
        what="update",
        road="encrypted",
        in_epsilon=True,
        of_data=True,
        remark="if make_private made it, and the arrays hold nothing else of the data",
    ),
    Disclosure(
        what="number of examples",
        road="encrypted",
        in_epsilon=False,
        of_data=True,
        remark="taken as public by the guarantee; with shared noise the expected batch size",
    ),
    Disclosure(
        what="training metrics",
        road="encrypted",
        in_epsilon=False,
        of_data=True,
        remark="return none; with shared noise they are refused",
    ),
    Disclosure(
        what="whether the update was clipped",
        road="encrypted",
        in_epsilon=False,
        of_data=True,
        remark="not told with shared noise",
    ),
    Disclosure(what="names of metrics", road="clear", in_epsilon=False, of_data=False),
    Disclosure(what="hash of what was asked", road="clear", in_epsilon=False, of_data=False),
    Disclosure(what="key shares", road="clear", in_epsilon=False, of_data=False),
    Disclosure(what="hashes of the seal", road="chain", in_epsilon=False, of_data=False),
    Disclosure(
        what="epsilon spent",
        road="chain",
        in_epsilon=False,
        of_data=True,
        remark="tells how many batches the data fill to one who knows noise and batch size",
    ),
    Disclosure(
        what="that it sealed, and when",
        road="chain",
        in_epsilon=False,
        of_data=True,
        remark="training time depends on how much data there is",
    ),
    Disclosure(
        what="class of an error in training",
        road="clear",
        in_epsilon=False,
        of_data=True,
        remark="its text stays in the site's log",
    ),
    Disclosure(
        what="evaluation metrics",
        road="clear",
        in_epsilon=False,
        of_data=True,
        remark='swarm-evaluate = "never" in the site\'s node config refuses them',
    ),
)
"""In a swarm with encryption="threshold". With "none" everything is in the clear."""
