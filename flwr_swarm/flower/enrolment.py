"""Which Flower node is which member: each signs for its node and this run."""

from __future__ import annotations

import logging
from dataclasses import dataclass

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
    """Ask every node who it is; check each signature; order by what sites call themselves.

    Raises
    ------
    NotAMember
        A node does not enrol, or not as itself.
    """
    asked = Enrolling(grid=grid, chain_id=chain_id, contract=contract, seconds=seconds, clock=clock)
    enrolled = [(node, asked.ask(node)) for node in node_ids]
    return sorted(enrolled, key=lambda entry: (entry[1].label, entry[1].account))


@dataclass(frozen=True, kw_only=True)
class Enrolling:
    """Asks nodes one at a time: a trip of all would hide which one fails."""

    grid: Grid
    chain_id: int
    contract: str
    seconds: float
    clock: Clock

    def ask(self, node: int) -> EnrolReply:
        """Return who `node` is, its signature checked.

        Raises
        ------
        NotAMember
            It does not answer, signs as another, or has a key to which nobody can seal.
        """
        run_id = self.grid.run.run_id
        request = EnrolRequest(
            run_id=run_id, node_id=node, chain_id=self.chain_id, contract=self.contract
        )
        trips = Trips(grid=self.grid, nodes={0: node}, clock=self.clock)
        replies = trips.send(
            "enrolment",
            {0: write.enrol_request(request)},
            Fields.enrol_reply,
            seconds=self.seconds,
        )
        if not replies:
            raise NotAMember(
                f"node {node} did not enrol; its ClientApp needs mods=[swarm_mod] (see its own log)"
            )
        reply = replies[0]
        signer = recover_enrolment(
            reply.signature,
            run_id=run_id,
            node_id=node,
            account=reply.account,
            encryption_key=reply.encryption_key,
            seed=reply.commitment,
        )
        if signer != reply.account:
            raise NotAMember(
                f"the enrolment of node {node} is signed by {signer}, not by the account "
                f"{reply.account} that it claims"
            )
        if not _usable(reply.encryption_key):
            raise NotAMember(
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
