"""The contract through web3.py's own ABI machinery: an independent reader of what ours reads."""

from __future__ import annotations

from chain_support import Swarm, frozen_chain
from web3 import HTTPProvider, Web3

from flwr_swarm.chain import artifact
from flwr_swarm.chain.history import export
from flwr_swarm.chain.replay import replay
from flwr_swarm.chain.server import ChainServer


def test_web3_reads_the_ledger_and_its_events_as_we_do() -> None:
    with ChainServer(frozen_chain()) as server:
        swarm = Swarm(server.chain, 4, epsilon_cap=9)
        swarm.whole_round(1, epsilon=5)
        web3 = Web3(HTTPProvider(server.url))
        contract = web3.eth.contract(address=swarm.contract, abi=list(artifact.load().abi))
        view = swarm.view

        look = contract.functions.look().call()
        policy, members, newest = look[4], look[5], look[6]
        assert policy[0] == view.policy.threshold
        assert [member[0] for member in members] == [m.account for m in view.members]
        assert newest[0] == view.current.number == contract.functions.current().call()
        assert contract.functions.endpoints().call() == list(swarm.reader.endpoints())

        logs = contract.events.Sealed().get_logs(from_block=0)
        assert [(log.args.member, log.args.epsilon) for log in logs] == [(i, 5) for i in range(4)]
        (certified,) = contract.events.Certified().get_logs(from_block=0)
        certificate = view.current.certificate
        assert certificate is not None
        assert certified.args.aggregateHash == certificate.aggregate_hash
        assert replay(export(server.url, swarm.contract)).state.policy == view.policy
