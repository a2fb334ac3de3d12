"""A consortium that its members founded before, on a served chain, and its bench."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from eth_account import Account
from swarm_bench import Bench, StillClock, inner

from flwr_swarm import Consortium, SwarmStrategy
from flwr_swarm.chain import history
from flwr_swarm.chain.client import ChainLedger
from flwr_swarm.chain.deploy import contract_address, deploy
from flwr_swarm.chain.embedded import EmbeddedChain
from flwr_swarm.chain.replay import replay
from flwr_swarm.chain.server import ChainServer
from flwr_swarm.chain.signing import sign_consent
from flwr_swarm.chain.state import Record
from flwr_swarm.flower.state import save_keys
from flwr_swarm.keystore import Keystore
from flwr_swarm.keystore.keys import MemberKeys
from flwr_swarm.protocol.ledger import ProposeCall, SealCall, VoteCall
from flwr_swarm.protocol.quorum import smallest_threshold
from flwr_swarm.protocol.terms import Terms
from flwr_swarm.protocol.types import Card, Change, Kind, Policy

CAPACITY = 16
AGREED = ("precision", "layer_clips", "entry_clips", "encryption")


def terms(**changes: Any) -> Terms:
    usual: dict[str, Any] = {"encryption": "threshold", "members": CAPACITY, "max_weight": 100.0}
    return Terms(**(usual | changes))


def policy_for(n: int, **changes: Any) -> Policy:
    usual: dict[str, Any] = {
        "threshold": smallest_threshold(n),
        "min_included": 3,
        "witnesses": 2,
        "close_at": 64,
        "seal_seconds": 60,
        "merge_seconds": 60,
        "terms": terms().hash(),
    }
    return Policy(**(usual | changes))


class Founded:
    """A consortium of `n` members on a served chain, and the bench on which it trains."""

    def __init__(
        self,
        directory: Path,
        n: int,
        *,
        max_misses: int = 0,
        skew: float = 0.0,
        port: int = 0,
        **options: Any,
    ) -> None:
        """`skew`: seconds by which the chain's clock is ahead of the relay's; `port`: its own."""
        self.time = StillClock()
        self.chain = EmbeddedChain(chain_id=4242, clock=lambda: self.time.clock().now() + skew)
        self.server = ChainServer(self.chain, port=port).start()
        self.keys = [MemberKeys.generate() for _ in range(n + 1)]
        deployer = Account.create()
        self.contract = contract_address(deployer.address)
        agreed_on = {name: options[name] for name in AGREED if name in options}
        agreed = SwarmStrategy(
            options.get("strategy") or inner(3), max_weight=100.0, **agreed_on
        ).terms(CAPACITY)
        deploy(
            self.chain,
            cards=[self.card(i) for i in range(n)],
            policy=policy_for(
                n,
                max_misses=max_misses,
                terms=agreed.hash(),
                witnesses=0 if agreed.encryption == "none" else 2,
            ),
            key=deployer,
        )
        self.consortium = Consortium(chain=self.server.url, contract=self.contract, chain_id=4242)
        options = {"strategy": inner(3), "consortium": self.consortium, "members": n} | options
        self.bench = Bench(directory, nodes=n, time=self.time, **options)
        self.bench.skew = skew
        for i in range(n):
            save_keys(self.bench.context(i), self.keys[i])

    def card(self, i: int) -> Card:
        keys = self.keys[i]
        return Card(
            account=keys.account,
            encryption_key=keys.encryption_key,
            commitment=keys.commitment(4242, self.contract, 0),
        )

    def ledger(self, i: int) -> ChainLedger:
        return ChainLedger(
            url=self.chain, contract=self.contract, key=self.keys[i].account_key, chain_id=4242
        )

    def past(self) -> tuple[Record, ...]:
        """Every round, as the chain's history proves it."""
        return replay(history.export(self.server.url, self.contract)).rounds

    def decide(self, change: Change, *voters: int, consent: bytes = b"") -> None:
        first, *others = voters
        ledger = self.ledger(first)
        ledger.submit(ProposeCall(change=change, consent=consent))
        number = ledger.proposals()
        for voter in others:
            self.ledger(voter).submit(VoteCall(proposal=number, support=True))

    def admit(self, i: int, *voters: int, policy: Policy) -> None:
        expires = int(self.time.clock().now()) + 10**6
        card = self.card(i)
        consent = sign_consent(
            self.keys[i].account_key, 4242, self.contract, seat=None, card=card, expires=expires
        )
        change = Change(kind=Kind.ADMIT, policy=policy, card=card, expires=expires)
        self.decide(change, *voters, consent=consent)

    def seal_on_a_made_up_model(self, i: int, *, number: int, parent: bytes = b"j" * 32) -> None:
        """Member `i` opens round `number` on a model of its own making."""
        keys, ledger = self.keys[i], self.ledger(i)
        reveals = ledger.view().members[i].reveals
        ledger.submit(
            SealCall(
                round=number,
                parent=parent,
                payload_hash=b"p" * 32,
                shares_hash=b"s" * 32,
                reveal=keys.secret(4242, self.contract, reveals),
                commitment=keys.commitment(4242, self.contract, reveals + 1),
                epsilon=0,
                verified=True,
            )
        )

    def close(self) -> None:
        self.bench.swarm.close()
        self.server.stop()


PASSWORD = "correct horse battery"


def with_keystore(swarm: Founded, i: int, folder: Path) -> Keystore:
    """Site `i` gets its keys from a keystore and from nowhere else."""
    store = Keystore.create(folder / "keys", PASSWORD, keys=swarm.keys[i], cost=2)
    secret = folder / "password"
    secret.write_text(PASSWORD + "\n")
    context = swarm.bench.context(i)
    context.node_config |= {"swarm-keys": str(store.folder), "swarm-password-file": str(secret)}
    del context.state["flwr_swarm.keys"]
    return store


def forget(swarm: Founded, i: int) -> None:
    """What another run series, or a SuperNode that is started again, leaves of the memory."""
    folder = swarm.bench.context(i).node_config["swarm-keys"]
    shutil.rmtree(Keystore(Path(str(folder))).memory)
