"""Whether a relay stands on what was certified last; if not, what it turns to.

A relay that did not open the last certified sum itself knows its model by somebody's word at best:
it had it from another relay, or from whoever opened a round on it, or another relay went on while
this one was cut off.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from ..protocol.hashing import Arrays
from ..protocol.messages import ModelProof
from ..protocol.recall import LedTo, to_go_back_to
from ..protocol.types import LedgerView, Round
from .resuming import Resumption

log = logging.getLogger("flwr.swarm")


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Another model to stand on.

    Parameters
    ----------
    round : int
        The certified round after which it comes.
    model, state : Arrays
    led : LedTo or None
        What shows that the round's sum leads to it. Without, it is what the round trained on.
    """

    round: int
    model: Arrays = field(repr=False)
    state: Arrays = field(repr=False)
    led: LedTo | None = None


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What is known now.

    Parameters
    ----------
    proof : ModelProof
        Of the model to go on with: of the old one, if there is no turn.
    turn : Turn or None
    given_up : bool
        Whether nobody need be asked for the sum again, for training goes on without it.
    """

    proof: ModelProof
    turn: Turn | None = None
    given_up: bool = False


def look(
    resuming: Resumption, view: LedgerView, certified: Round, *, model: bytes, failed: bytes
) -> Standing:
    """Ask the members what `certified` leads to, and compare.

    Parameters
    ----------
    model : bytes
        Parent hash of the model that the relay has.
    failed : bytes
        Parent hash of one that a void round offered without a proof.
    """
    led = resuming.led_to(view, certified)
    if led is not None:
        if led.hash == model:
            return Standing(proof=led.proof)
        log.warning(
            "this relay's model is not the one that the sum of round %d leads to: another relay "
            "went on meanwhile, or whoever opened a round named a model of its own. Training goes "
            "on from the sum",
            certified.number,
        )
        turn = Turn(round=certified.number, model=led.model, state=led.state, led=led)
        return Standing(proof=led.proof, turn=turn)
    proof = ModelProof(round=certified.number)
    if model == certified.parent:
        return Standing(proof=proof, given_up=True)
    back = to_go_back_to(view, proof, model=model, failed=failed)
    found = None if back is None else resuming.before(back)
    if found is None:
        return Standing(proof=proof)
    log.warning(
        "the model of round %d cannot be proven to members that were away when it was opened, and "
        "too few train on it without; training goes on from the model before",
        certified.number,
    )
    turn = Turn(round=certified.number, model=found[0], state=found[1])
    return Standing(proof=proof, turn=turn, given_up=True)
