"""Which Flower node is which member: each signs for its node and this run."""

from __future__ import annotations

import logging

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from flwr.serverapp import Grid

from .._exceptions import ConfigurationError, NotAMember
from ..chain.signing import recover_enrolment
from ..protocol.messages import EnrolReply, EnrolRequest
from . import write
from .read import Fields
from .trips import Clock, Trips

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
    """Ask every node who it is; check each signature; order by what sites call themselves."""
    run_id = grid.run.run_id
    requests = {
        at: EnrolRequest(run_id=run_id, node_id=node, chain_id=chain_id, contract=contract)
        for at, node in enumerate(node_ids)
    }
    trips = Trips(grid=grid, nodes=dict(enumerate(node_ids)), clock=clock)
    enrolled: list[tuple[int, EnrolReply]] = []
    for at, request in requests.items():
        # One at a time names the node that fails; a trip of all would hide it.
        replies = trips.send(
            "enrolment", {at: write.enrol_request(request)}, Fields.enrol_reply, seconds=seconds
        )
        if not replies:
            raise NotAMember(
                f"node {request.node_id} did not enrol; its ClientApp needs "
                "mods=[swarm_mod] (see its own log)"
            )
        reply = replies[0]
        signer = recover_enrolment(
            reply.signature,
            run_id=run_id,
            node_id=request.node_id,
            account=reply.account,
            encryption_key=reply.encryption_key,
            seed=reply.commitment,
        )
        if signer != reply.account:
            raise NotAMember(
                f"the enrolment of node {request.node_id} is signed by {signer}, not by the "
                f"account {reply.account} that it claims"
            )
        if not _usable(reply.encryption_key):
            raise NotAMember(
                f"node {request.node_id} enrolled an encryption key of small order, to which "
                "nobody can seal a share; found the swarm without this node"
            )
        enrolled.append((request.node_id, reply))
    return sorted(enrolled, key=lambda entry: (entry[1].label, entry[1].account))


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
