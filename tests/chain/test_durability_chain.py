"""A development chain on disk is the same chain after it is opened again, or is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import rlp
from chain_support import START, Swarm, key_of
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr_swarm._exceptions import ChainUnreachable, FolderInUse, JournalCorrupt, WrongChain
from flwr_swarm.chain import journal as journal_module
from flwr_swarm.chain.durable import JOURNAL, DurableChain
from flwr_swarm.chain.history import export
from flwr_swarm.chain.journal import Journal, frame
from flwr_swarm.chain.server import ChainServer
from flwr_swarm.protocol.types import Phase


def opened(folder: Path, *, now: float = START, **options: Any) -> DurableChain:
    return DurableChain.open(folder, clock=lambda: now, **options)


def everything(chain: DurableChain) -> list[Any]:
    """Every block, transaction and receipt, as a client reads them."""
    seen: list[Any] = []
    for number in range(chain.height + 1):
        block = chain.request("eth_getBlockByNumber", [hex(number), False])
        seen.append(block)
        for digest in block["transactions"]:
            seen.append(chain.request("eth_getTransactionByHash", [digest]))
            seen.append(chain.request("eth_getTransactionReceipt", [digest]))
    return seen


def records_of(folder: Path) -> list[bytes]:
    with Journal(folder / JOURNAL) as journal:
        return list(journal.records())


def rewrite(folder: Path, records: list[bytes]) -> None:
    (folder / JOURNAL).write_bytes(b"".join(frame(record) for record in records))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any], dict[str, Any]]:
    """A closed folder with a swarm's first round, what its chain told, and its history."""
    folder = tmp_path_factory.mktemp("kept")
    with opened(folder) as chain:
        swarm = Swarm(chain, 3)
        chain.fund(key_of(0).address, 5)
        swarm.seal_all(1, 0, 1)
        chain.advance_clock(601)
        swarm.close(1)
        assert swarm.certify().current.phase is Phase.CERTIFIED
        return folder, everything(chain), export(chain, swarm.contract)


def test_every_block_transaction_receipt_and_event_comes_back(
    kept: tuple[Path, list[Any], dict[str, Any]],
) -> None:
    folder, seen, history = kept
    with opened(folder, now=START + 5000) as chain:
        assert everything(chain) == seen
        assert export(chain, history["contract"]) == history
        assert chain.request("eth_getBalance", [key_of(0).address]) == hex(5)
        assert chain.cut == 0


def test_the_chain_goes_on_where_it_was_and_time_never_goes_back(tmp_path: Path) -> None:
    with opened(tmp_path) as chain:
        swarm = Swarm(chain, 2)
        swarm.seal(0, 1)
        chain.advance_clock(100)
        chain.fund(key_of(0).address)
        newest = chain.block(chain.height)
        identity = chain.chain_id
    with opened(tmp_path, now=START - 1000) as chain:
        assert chain.chain_id == identity
        chain.fund(key_of(1).address)
        assert chain.block(chain.height).timestamp == newest.timestamp + 1
        assert chain.block(chain.height - 1) == newest


def test_a_folder_has_one_chain_and_one_holder(tmp_path: Path) -> None:
    held = pytest.raises(FolderInUse, match="another process serves")
    with opened(tmp_path, chain_id=5), held:
        opened(tmp_path)
    with pytest.raises(WrongChain, match="holds chain 5, asked for is 6"):
        opened(tmp_path, chain_id=6)
    with opened(tmp_path) as chain:  # the refusals above freed it
        assert chain.chain_id == 5


def test_a_crash_before_the_first_record_leaves_a_folder_that_begins_again(tmp_path: Path) -> None:
    with opened(tmp_path, chain_id=5):
        pass
    whole = (tmp_path / JOURNAL).read_bytes()
    (tmp_path / JOURNAL).write_bytes(whole[:-1])
    with opened(tmp_path, chain_id=6) as chain:
        assert (chain.chain_id, chain.height, chain.cut) == (6, 0, len(whole) - 1)


def test_what_was_not_finished_is_cut_and_nothing_else(
    kept: tuple[Path, list[Any], dict[str, Any]], tmp_path: Path
) -> None:
    folder, seen, _ = kept
    (tmp_path / JOURNAL).write_bytes((folder / JOURNAL).read_bytes()[:-7])
    with opened(tmp_path) as chain:
        assert everything(chain) == seen[:-3]
        assert chain.cut > 0


@settings(max_examples=12)
@given(data=st.data())
def test_a_journal_whose_frames_are_whole_and_whose_story_is_not_is_refused(
    kept: tuple[Path, list[Any], dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
) -> None:
    records = records_of(kept[0])
    which = data.draw(st.integers(1, len(records) - 2))
    how = data.draw(st.sampled_from(["drop", "double", "swap", "time", "root", "genesis", "other"]))
    changed = list(records)
    timestamp, raw, root, digest = rlp.decode(changed[which])
    if how == "drop":
        del changed[which]
    elif how == "double":
        changed.insert(which, changed[which])
    elif how == "swap":
        changed[which], changed[which + 1] = changed[which + 1], changed[which]
    elif how == "time":
        later = int.from_bytes(timestamp, "big") + 1
        changed[which] = rlp.encode([later, raw, root, digest])
    elif how == "root":
        changed[which] = rlp.encode([timestamp, raw, digest, digest])
    elif how == "genesis":
        name, number, identity, time, first, engine = rlp.decode(changed[0])
        early = int.from_bytes(time, "big") - 1
        changed[0] = rlp.encode([name, number, identity, early, first, engine])
    else:
        changed[which] = b"\xc0"
    folder = tmp_path_factory.mktemp("changed")
    rewrite(folder, changed)
    before = (folder / JOURNAL).read_bytes()
    with pytest.raises(JournalCorrupt):
        opened(folder)
    assert (folder / JOURNAL).read_bytes() == before


def test_a_journal_of_another_format_or_program_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path):
        pass
    name, _, *rest = rlp.decode(records_of(tmp_path)[0])
    for record, message in ((rlp.encode([name, 2, *rest]), "format 2"), (b"\x80", "genesis")):
        rewrite(tmp_path, [record])
        with pytest.raises(JournalCorrupt, match=message):
            opened(tmp_path)


def test_a_block_that_could_not_be_kept_is_never_told_and_the_chain_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    failed: list[str] = []
    with opened(tmp_path) as chain, ChainServer(chain, on_failure=lambda: failed.append("x")) as s:
        chain.fund(key_of(0).address)
        swarm_url = s.url
        from flwr_swarm.chain.provider import HttpNode

        node = HttpNode(swarm_url, timeout=5)
        signed = key_of(0).sign_transaction(
            {
                "type": 2,
                "chainId": chain.chain_id,
                "nonce": 0,
                "to": key_of(1).address,
                "value": 1,
                "gas": 21_000,
                "maxFeePerGas": 0,
                "maxPriorityFeePerGas": 0,
            }
        )
        with monkeypatch.context() as patched:
            patched.setattr(journal_module.os, "fsync", full)
            with pytest.raises(ChainUnreachable):
                node.request("eth_sendRawTransaction", ["0x" + bytes(signed.raw_transaction).hex()])
        for method in ("eth_blockNumber", "eth_chainId"):
            with pytest.raises(ChainUnreachable):
                node.request(method, [])
        assert failed
    with opened(tmp_path) as chain:
        assert chain.height in {1, 2}
        balance = int(chain.request("eth_getBalance", [key_of(1).address]), 16)
        assert balance == chain.height - 1
