"""Evidence whose manifest an attacker wrote anew: what follows from signatures still holds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evidence_support import Run, lines_of, write_lines
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr_swarm._exceptions import EvidenceError
from flwr_swarm.protocol.hashing import canonical_json
from flwr_swarm.report.evidence import load_arrays, save_arrays
from flwr_swarm.report.verify import verify, write_manifest

# --- with a new manifest -----------------------------------------------------------------------


def refused(run: Run, change: Callable[[Path], None], *parts: str) -> None:
    """An attacker changes the evidence and lists the files anew."""
    with run.kept() as path:
        change(path)
        write_manifest(path)
        with pytest.raises(EvidenceError) as caught:
            verify(path)
        for part in parts:
            assert part in str(caught.value), str(caught.value)


def test_a_new_manifest_of_the_same_files_is_accepted(run: Run) -> None:
    """The control: what is refused below is refused for what was changed."""
    with run.kept() as path:
        (path / "manifest.json").unlink()
        write_manifest(path)
        verify(path)


UNSIGNED = {"seconds", "loss", "metrics", "reason"}


def altered(value: Any) -> list[Any]:
    """Other values than `value`."""
    if isinstance(value, dict):
        changed = [{**value, n: o} for n, v in value.items() for o in altered(v)]
        return [*changed, {n: value[n] for n in list(value)[1:]}]
    if isinstance(value, list):
        return [[*value, 1], value[:-1] if value else [0], None, value[::-1] or [2]]
    if isinstance(value, float):
        return [value + 0.5]
    if isinstance(value, str):
        return [value[:-1] + ("0" if value[-1:] != "0" else "1"), "", None]
    return [1 if value is None else value + 1, -1, "x"]


def test_every_fact_told_of_a_round_is_held_against_the_chain(run: Run) -> None:
    lines = lines_of(run.path)
    checked = 0
    with run.kept() as path:
        for at, line in enumerate(lines):
            seen = line["parent_hash"] is not None
            for name in sorted(set(line) - UNSIGNED):
                if not seen and name in {"round", "epsilon", "sealed", "abstained"}:
                    continue  # of a round that the chain never saw
                for value in altered(line[name]):
                    if value == line[name] or (name == "succession" and value is None):
                        continue
                    write_lines(path, [*lines[:at], {**line, name: value}, *lines[at + 1 :]])
                    write_manifest(path)
                    with pytest.raises(EvidenceError):
                        verify(path)
                    checked += 1
    assert checked > 100


def test_rounds_left_out_repeated_or_moved_are_refused(run: Run) -> None:
    lines = lines_of(run.path)
    for wrong in (lines[1:], lines[:-1], [*lines, lines[0]], lines[::-1], [lines[0], *lines], []):
        refused(run, lambda path, now=wrong: write_lines(path, now), "rounds.jsonl")


@settings(max_examples=40)
@given(data=st.data())
def test_any_changed_byte_of_a_sum_or_opening_is_refused(run: Run, data: st.DataObject) -> None:
    parts = sorted((run.path / "rounds").rglob("*.bin"))
    chosen = data.draw(st.sampled_from(parts))
    raw = bytearray(chosen.read_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    refused(run, lambda path: chosen.write_bytes(raw))


def test_a_layout_of_other_sizes_is_refused(run: Run) -> None:
    """Names of metrics are not signed; how many numbers there are decides what is decoded."""
    layout = run.path / "rounds/0001/layout.json"
    before, one = layout.read_bytes(), b'["train_loss",0]'
    assert before.count(one) == 1
    for other in (b"", b'["train_loss",2]', b'["a",0],["b",0]', b'["train_loss",-1]', b"1"):
        wrong = before.replace(one, other)
        refused(run, lambda path, wrong=wrong: layout.write_bytes(wrong))


def test_sums_and_openings_of_another_round_are_refused(run: Run) -> None:
    first, last = "rounds/0001", "rounds/0004"

    def swap(name: str) -> Callable[[Path], None]:
        return lambda path: shutil.copy(path / first / name, path / last / name)

    refused(run, swap("sum.bin"), "round 4: the sum is not the certified one")
    opening = min((run.path / last).glob("opening-*")).name
    refused(run, swap(opening))
    refused(run, lambda path: shutil.rmtree(path / last), "round 4")
    refused(run, lambda path: shutil.copytree(path / first, path / "rounds/0002"), "round 2")


def bend_model(name: str, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> Any:
    def bend(path: Path) -> None:
        model, state = load_arrays(path / name)
        change(model, state)
        save_arrays(path / name, model, state)

    return bend


def test_another_first_or_last_model_is_refused(run: Run) -> None:
    def nudge(model: dict[str, Any], _: dict[str, Any]) -> None:
        model["weight"].reshape(-1)[3] += np.float32(1e-6)

    def momentum(_: dict[str, Any], state: dict[str, Any]) -> None:
        state[min(state)].reshape(-1)[0] += 1e-9

    refused(run, bend_model("final.npz", nudge), "final.npz")
    refused(run, bend_model("final.npz", momentum), "final.npz")
    refused(run, bend_model("final.npz", lambda m, _: m.pop("bias")), "final.npz")
    refused(run, bend_model("initial.npz", nudge), "round 1 trained on model")
    for name in ("initial.npz", "final.npz"):
        for raw in (b"", b"PK", b"\x93NUMPY", (run.path / "final.npz").read_bytes()[:-30]):
            refused(run, lambda path, n=name, r=raw: (path / n).write_bytes(r))


def bend_json(name: str, change: Callable[[Any], None]) -> Callable[[Path], None]:
    def bend(path: Path) -> None:
        value = json.loads((path / name).read_bytes())
        change(value)
        (path / name).write_bytes(canonical_json(value))

    return bend


def test_other_terms_chain_or_contract_are_refused(run: Run) -> None:
    def sets(*keys: Any, to: Any) -> Callable[[Any], None]:
        def change(value: Any) -> None:
            for key in keys[:-1]:
                value = value[key]
            value[keys[-1]] = to

        return change

    for change in (
        sets("terms", "strategy", to="FedYogi"),
        sets("terms", "parameters", "eta", to=0.5),
        sets("terms", "clip", to=11.0),
        sets("terms", "encryption", to="none"),
        sets("terms", to=[]),
        sets("chain_id", to=7),
        sets("contract", to="0x" + "11" * 20),
    ):
        refused(run, bend_json("swarm.json", change))
    for change in (
        sets("chain_id", to=7),
        sets("contract", to="0x" + "11" * 20),
        sets("version", to=2),
        sets("transactions", to=[]),
    ):
        refused(run, bend_json("chain.json", change))


@settings(max_examples=40)
@given(data=st.data())
def test_any_changed_transaction_is_refused(run: Run, data: st.DataObject) -> None:
    entries = json.loads((run.path / "chain.json").read_bytes())["transactions"]
    at = data.draw(st.integers(0, len(entries) - 1))
    signed = sorted(set(entries[at]) - {"timestamp", "block_number", "index"})
    name = data.draw(st.sampled_from(signed))

    def change(history: Any) -> None:
        entry = history["transactions"][at]
        value = entry[name]
        if name == "events":
            event = data.draw(st.sampled_from(value))
            event["data"] = other_hex(event["data"], data)
        elif isinstance(value, str):
            entry[name] = other_hex(value, data)
        else:
            entry[name] = 1 if value is None else value + 1

    refused(run, bend_json("chain.json", change))


def other_hex(text: str, data: st.DataObject) -> str:
    if len(text) == 2:  # only its 0x
        return "0x00"
    at = data.draw(st.integers(2, len(text) - 1))
    digit = data.draw(st.sampled_from([d for d in "0123456789abcdef" if d != text[at].lower()]))
    return text[:at] + digit + text[at + 1 :]


def test_transactions_left_out_repeated_or_moved_are_refused(run: Run) -> None:
    count = len(json.loads((run.path / "chain.json").read_bytes())["transactions"])
    for at in range(count):
        refused(run, bend_json("chain.json", lambda h, at=at: h["transactions"].pop(at)))
        refused(
            run,
            bend_json(
                "chain.json",
                lambda h, at=at: h["transactions"].insert(at, h["transactions"][at]),
            ),
        )
