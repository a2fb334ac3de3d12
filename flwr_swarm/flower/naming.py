"""The relay's log about who was missing, left out, or at odds with the others."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from .._exceptions import WireError
from ..protocol.messages import MergeReply
from ..protocol.payload import aggregate_hash
from ..protocol.relay import Merged, Opened
from ..protocol.terms import Terms
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


def name_disagreement(view: LedgerView, replies: Sequence[MergeReply], terms: Terms) -> None:
    """Say who signed what, if not all the same; and that a leader gave not what it signed."""
    current = view.current
    signed: dict[tuple[tuple[int, ...], bytes], list[int]] = {}
    for reply in replies:
        certificate = reply.certificate
        signed.setdefault((certificate.included, certificate.aggregate_hash), []).append(
            reply.member
        )
        if reply.member == current.leader and not _is_as_signed(reply, terms):
            log.warning(
                "merge of round %d: the sum of leader %d is not the one that it signed",
                current.number,
                reply.member,
            )
    if len(signed) > 1:
        groups = sorted(sorted(members) for members in signed.values())
        log.warning(
            "merge of round %d: members signed different sums: %s; the leader is %s",
            current.number,
            " / ".join(map(str, groups)),
            current.leader,
        )


def name_false(number: int, opened: Opened) -> None:
    """Say whose opening does not fit the others'; the round could do without it."""
    for member in opened.false:
        log.warning(
            "round %d: the opening of member %d does not agree with those of members %s, which "
            "open the sum",
            number,
            member,
            sorted(opened.openings),
        )


def _is_as_signed(reply: MergeReply, terms: Terms) -> bool:
    try:
        return aggregate_hash(terms, reply.merged) == reply.certificate.aggregate_hash
    except WireError:
        return False
