"""Which Flower node is which member: each signs for its node and this run."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from flwr.app import Message, MessageType, RecordDict
from flwr.serverapp import Grid

from .._exceptions import ConfigurationError, NotAMember, SwarmError, WireError
from ..chain.signing import recover_enrolment
from ..protocol.messages import EnrolReply, EnrolRequest
from . import write
from .clock import Clock
from .errands import Errands
from .read import Fields
from .trips import reason

log = logging.getLogger("flwr.swarm")


def connected(grid: Grid, needed: int, seconds: float, clock: Clock) -> list[int]:
    """Wait for `needed` nodes, and return all that are connected then."""
    end = clock.now() + seconds
    while len(found := sorted(grid.get_node_ids())) < needed:
        if clock.now() > end:
            raise ConfigurationError(
                f"{len(found)} nodes connected within {seconds:.0f} s, the swarm needs {needed}; "
                "start the missing sites (in simulation: raise num-supernodes)"
            )
        log.info("waiting for members: %d of %d connected", len(found), needed)
        clock.sleep(1.0)
    return found


def enrol(
    grid: Grid, node_ids: list[int], chain_id: int, contract: str, seconds: float, clock: Clock
) -> list[tuple[int, EnrolReply]]:
    """Ask every node who it is; check each signature; order by what sites call themselves.

    Raises
    ------
    NotAMember
        A node does not enrol, or not as itself.
    """
    asked = Enrolling(grid=grid, chain_id=chain_id, contract=contract, seconds=seconds, clock=clock)
    enrolled = []
    for node, reply in asked.ask(node_ids).items():
        if isinstance(reply, SwarmError):
            raise reply
        enrolled.append((node, reply))
    return sorted(enrolled, key=lambda entry: (entry[1].label, entry[1].account))


@dataclass(frozen=True, kw_only=True)
class Enrolling:
    """Asks nodes who they are, all at once."""

    grid: Grid
    chain_id: int
    contract: str
    seconds: float
    clock: Clock

    def ask(self, nodes: Iterable[int]) -> dict[int, EnrolReply | NotAMember | WireError]:
        """Who each of `nodes` is, its signature checked; or why it is nobody."""
        run_id = self.grid.run.run_id
        requests = {
            node: EnrolRequest(
                run_id=run_id, node_id=node, chain_id=self.chain_id, contract=self.contract
            )
            for node in nodes
        }
        errands = Errands(grid=self.grid, what="enrolment", tries=1)
        errands.push(
            Message(
                RecordDict(cast(dict[str, Any], write.enrol_request(request))),
                node,
                MessageType.TRAIN,
            )
            for node, request in requests.items()
        )
        end = self.clock.now() + self.seconds
        found: dict[int, EnrolReply | NotAMember | WireError] = {}
        for batch in errands.batches(self.clock):
            for node, message in batch:
                found[node] = _checked(requests[node], message)
            if self.clock.now() >= end:
                break
        for node in errands.silent:
            found[node] = NotAMember(
                f"node {node} did not enrol within {self.seconds:.0f} s; its ClientApp needs "
                "mods=[swarm_mod] (see its own log)"
            )
        return {node: found[node] for node in requests}


def _checked(request: EnrolRequest, message: Message) -> EnrolReply | NotAMember | WireError:
    """The reply, if it is signed by the account that it names, for this run and node."""
    node = request.node_id
    if message.has_error():
        return NotAMember(
            f"node {node} did not enrol; its ClientApp needs mods=[swarm_mod] (see its own log). "
            f"It answered: {reason(message)}"
        )
    try:
        reply = Fields(message.content).enrol_reply()
        signer = recover_enrolment(
            reply.signature,
            run_id=request.run_id,
            node_id=node,
            account=reply.account,
            encryption_key=reply.encryption_key,
            seed=reply.commitment,
        )
    except WireError as error:
        return error
    if signer != reply.account:
        return NotAMember(
            f"the enrolment of node {node} is signed by {signer}, not by the account "
            f"{reply.account} that it claims"
        )
    if not _usable(reply.encryption_key):
        return NotAMember(
            f"node {node} enrolled an encryption key of small order, to which nobody can seal "
            "a share; found the swarm without this node"
        )
    return reply


def _usable(encryption_key: bytes) -> bool:
    """Whether members can seal shares to a key; one that they cannot would void every round."""
    try:
        X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(encryption_key))
    except ValueError:
        return False
    return True


def printable(text: str) -> str:
    """`text` without what could forge lines of a log."""
    return "".join(c if c.isprintable() else "?" for c in text)
