"""What a round came to, for whoever steps, writes evidence, or tells people."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ..protocol.member import last_certified
from ..protocol.messages import SealReply
from ..protocol.relay import Merged, Opened
from ..protocol.types import LedgerView, Round

log = logging.getLogger("flwr.swarm")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a round came to.

    Parameters
    ----------
    view : LedgerView
        The ledger after the round.
    seals : mapping of int to SealReply
        Payloads that match their seals.
    merged : Merged
    opened : Opened or None
        None without encryption, or if the sum could not be opened.
    seconds : mapping of str to float
        Duration of the trips "merge" and "open".
    """

    view: LedgerView
    seals: Mapping[int, SealReply] = field(repr=False)
    merged: Merged
    opened: Opened | None
    seconds: Mapping[str, float]

    @property
    def round(self) -> Round:
        return self.view.current


def as_certified(view: LedgerView, merged: Merged) -> LedgerView | None:
    """The ledger as the certificate left it, also if somebody has opened the next round since."""
    last = last_certified(view)
    if last is None or last.certificate != merged.certificate:
        return None
    return replace(view, current=last)
