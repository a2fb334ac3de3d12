"""The relay's log about whose update a round does without; else nobody would hear of it."""

from __future__ import annotations

import logging

from ..protocol.relay import Merged
from ..protocol.types import LedgerView

log = logging.getLogger("flwr.swarm")


def name_absent(view: LedgerView, number: int) -> None:
    """Say who sealed nothing; their answers, which say why, may come after the round went on."""
    current = view.current
    sealed = {seal.member for seal in current.seals}
    absent = {member.index for member in view.seated if not member.suspended} - sealed
    if current.number == number and absent:
        log.warning(
            "round %d goes on without members %s; abstained: %s; the sites' own logs say why",
            number,
            sorted(absent),
            sorted(absent & set(current.abstained)) or "none",
        )


def name_left_out(view: LedgerView, merged: Merged) -> None:
    """Say whose sealed update the sum does without."""
    left_out = {seal.member for seal in view.current.seals} - set(merged.certificate.included)
    if left_out:
        log.warning(
            "round %d: the sealed updates of members %s are not in the sum; names and sizes of "
            "their arrays and metrics differ, or they were not dealt and sent as sealed",
            view.current.number,
            sorted(left_out),
        )
