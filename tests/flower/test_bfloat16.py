"""bfloat16: Flower's numpy format has no such type, so its values go through float32, exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from hypothesis import given
from hypothesis import strategies as st
from swarm_bench import Bench, values

from flwr_swarm import swarm_mod
from flwr_swarm.flower.records import array_record, numpy_arrays


def test_flower_itself_takes_no_bfloat16_tensor() -> None:
    """So a site's train function fails before anything reaches the mod; see the README."""
    with pytest.raises(TypeError, match="BFloat16"):
        ArrayRecord({"w": torch.ones(3, dtype=torch.bfloat16)})


@given(st.lists(st.integers(0, 2**16 - 1), min_size=1, max_size=50))
def test_each_bfloat16_comes_back_from_float32_as_it_was(bits: list[int]) -> None:
    tensor = torch.tensor(bits, dtype=torch.uint16).view(torch.bfloat16)
    there = numpy_arrays(array_record({"w": tensor.float().numpy()}))["w"]
    back = torch.from_numpy(there.copy()).bfloat16()
    nan = torch.isnan(tensor)
    assert torch.equal(torch.isnan(back), nan)
    assert torch.equal(back[~nan].view(torch.uint16), tensor[~nan].view(torch.uint16))


def test_a_model_in_bfloat16_trains_with_a_cast_each_way(bench: Callable[..., Bench]) -> None:
    app = ClientApp(mods=[swarm_mod])

    @app.train()
    def train(message: Message, context: Context) -> Message:
        net = torch.nn.Linear(3, 2).bfloat16()
        net.load_state_dict(message.content.array_records["arrays"].to_torch_state_dict())
        with torch.no_grad():
            net.weight += 0.5
        state = {name: tensor.float() for name, tensor in net.state_dict().items()}
        content: dict[str, Any] = {
            "arrays": ArrayRecord(state),
            "metrics": MetricRecord({"num-examples": 10}),
        }
        return Message(RecordDict(content), reply_to=message)

    model = ArrayRecord(
        {"weight": Array(np.ones((2, 3), np.float32)), "bias": Array(np.zeros(2, np.float32))}
    )
    swarm = bench(nodes=3, app=app, model=model, max_weight=10.0)
    assert swarm.round() is not None, swarm.errors
    found = values(swarm.model)
    assert found["weight"].dtype == np.float32
    assert np.abs(found["weight"] - 1.5).max() < 1e-4
    assert np.abs(found["bias"]).max() < 1e-4
