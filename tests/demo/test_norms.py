"""`doctor` on two saved models: the update's length by array, and bounds that it fits in."""

import numpy as np
import pytest
from flwr.serverapp.strategy import FedAvg
from hypothesis import given
from hypothesis import strategies as st

from flwr_swarm import SwarmStrategy
from flwr_swarm._exceptions import ConfigurationError
from flwr_swarm.demo.norms import ArrayNorm, suggestion, update_norms, whole


def test_update_norms_of_two_files(tmp_path):
    rng = np.random.default_rng(0)
    first = {"a": rng.normal(size=(3, 2)), "b": rng.normal(size=4)}
    second = {k: v + 0.5 for k, v in first.items()}
    for name, arrays in (("before", first), ("after", second)):
        np.savez(tmp_path / f"{name}.npz", **arrays)
    norms = update_norms(tmp_path / "before.npz", tmp_path / "after.npz")
    assert whole(norms) == pytest.approx(0.5 * np.sqrt(10))
    assert [(one.name, one.size) for one in norms] == [("a", 6), ("b", 4)]
    assert [one.largest for one in norms] == pytest.approx([0.5, 0.5])


def test_update_norms_are_of_what_is_trained(tmp_path):
    import torch

    first = {
        "w": torch.ones(3, dtype=torch.bfloat16),
        "empty": torch.zeros(0),
        "scale": torch.tensor(1.0),
        "num_batches_tracked": torch.tensor(7),
    }
    second = {"w": first["w"] * 2, "empty": torch.zeros(0), "scale": first["scale"]} | {
        "num_batches_tracked": torch.tensor(100)
    }
    torch.save(first, tmp_path / "a.pt")
    torch.save(second, tmp_path / "b.pt")
    norms = update_norms(tmp_path / "a.pt", tmp_path / "b.pt")
    found = {one.name: (one.norm, one.largest) for one in norms}
    assert found == {"w": (pytest.approx(3**0.5), 1.0), "empty": (0.0, 0.0), "scale": (0.0, 0.0)}
    assert whole(norms) == pytest.approx(3**0.5)


@given(
    norms=st.lists(st.floats(1e-12, 1e6), min_size=1, max_size=6),
    spread=st.floats(0.01, 1.0),
)
def test_suggested_bounds_are_above_what_was_measured_and_accepted(norms, spread):
    measured = [
        ArrayNorm(name=f"layer.{place}", size=9, norm=norm, largest=norm * spread)
        for place, norm in enumerate(norms)
    ]
    options = eval(f"dict({suggestion(measured)})")  # noqa: S307 - what a user would paste
    SwarmStrategy(FedAvg(min_available_nodes=3), **options)
    assert options["clip"] >= whole(measured)
    for one in measured:
        assert options["layer_clips"].get(one.name, options["clip"]) >= one.norm
        assert options["entry_clips"][one.name] >= one.largest


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x80\x04}."])
def test_update_norm_refuses_what_is_no_model(tmp_path, content):
    for name in ("a.pt", "b.npz"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigurationError, match="not a saved model"):
            update_norms(tmp_path / name, tmp_path / name)


def test_update_norm_refuses_two_different_models(tmp_path):
    np.savez(tmp_path / "a.npz", w=np.zeros(3))
    np.savez(tmp_path / "b.npz", w=np.zeros(4))
    with pytest.raises(ConfigurationError, match="other names or shapes"):
        update_norms(tmp_path / "a.npz", tmp_path / "b.npz")
