"""What inversion gives back, as pictures: originals above, reconstructions below."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from flwr_swarm_attacks.imprint import imprint, imprinted
from flwr_swarm_attacks.inversion import deep_leakage, gradient_of, inverted_gradients, label_of
from flwr_swarm_attacks.inversion_linear import linear_inputs
from flwr_swarm_attacks.model_inversion import class_portrait
from flwr_swarm_attacks.pictures import Reconstruction, compare
from flwr_swarm_attacks.views import Outsider, State
from numpy.typing import NDArray
from torch import nn

from .data_sets import fashion, tissue

_SHOWN: Final = 8
_FIRST: Final = ("1.weight", "1.bias")


def draw(say: Callable[[str], None]) -> dict[str, str]:
    """Caption to picture, as data URIs; from Fashion-MNIST and tiles of stained tissue."""
    images, labels = fashion()
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    tiles = torch.from_numpy(tissue())
    found = {}
    for name, attack in (
        ("Deep leakage from gradients, one picture at a time", _leaked),
        ("Inverting gradients, one picture at a time", _inverted),
    ):
        seen = torch.cat([attack(x[k : k + 1], y[k : k + 1]) for k in range(_SHOWN)])
        found |= _figure(name, x[:_SHOWN], seen)
        say(name)
    for name, batch, classes, known in (
        ("fashion, 64 pictures in one update", x[:64], y[:64], x[1000:3000]),
        ("tissue, 32 tiles in one update", tiles[:32], torch.zeros(32).long(), tiles[64:]),
    ):
        found |= _figure(f"Crafted model: {name}", batch, _imprinted(batch, classes, known))
        found |= _figure(f"Honest model: {name}", batch, _honest(batch, classes))
        say(name)
    found |= _portraits(x, y)
    return found


def _net(pixels: int, hidden: int, bend: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(pixels, hidden), bend(), nn.Linear(hidden, 10)
    )


def _state(make: Callable[[], nn.Module]) -> State:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return {name: value.clone() for name, value in make().state_dict().items()}


def _leaked(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    make = _net(x[0].numel(), 64, nn.Sigmoid)
    state = _state(make)
    seen = gradient_of(make(), state, x, y)
    return deep_leakage(make(), state, seen, shape=tuple(x.shape), classes=10, steps=15)[0]


def _inverted(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    make = _net(x[0].numel(), 64, nn.Sigmoid)
    state = _state(make)
    seen = gradient_of(make(), state, x, y)
    label = torch.tensor([label_of(seen[sorted(state).index("3.bias")])])
    return inverted_gradients(make(), state, seen, labels=label, shape=tuple(x.shape), restarts=1)


def _first_layer(state: State, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
    make = _net(x[0].numel(), len(state[_FIRST[1]]), nn.ReLU)
    seen = dict(zip(sorted(state), gradient_of(make(), state, x, y), strict=True))
    return seen[_FIRST[0]], seen[_FIRST[1]]


def _imprinted(x: torch.Tensor, y: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    honest = _state(_net(x[0].numel(), 512, nn.ReLU))
    crafted = imprint(honest, known.flatten(1), first=_FIRST, second="3.weight")
    return imprinted(*_first_layer(crafted, x, y)).reshape(-1, *x.shape[1:])


def _honest(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    honest = _state(_net(x[0].numel(), 512, nn.ReLU))
    return linear_inputs(*_first_layer(honest, x, y)).reshape(-1, *x.shape[1:])


def _portraits(x: torch.Tensor, y: torch.Tensor) -> dict[str, str]:
    make = _net(x[0].numel(), 64, nn.Sigmoid)
    model = make()
    model.load_state_dict(dict(_state(make)))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[:2000]), y[:2000]).backward()
        optimizer.step()
    view = Outsider(model={name: value.detach() for name, value in model.state_dict().items()})
    shape = tuple(x.shape[1:])
    seen = torch.stack([class_portrait(view, make, label=k, shape=shape) for k in range(_SHOWN)])
    means = torch.stack([x[y == k].mean(dim=0) for k in range(_SHOWN)])
    return {"Model inversion: a class's mean, and its portrait": _strip(means, seen)}


def _figure(name: str, truth: torch.Tensor, candidates: torch.Tensor) -> dict[str, str]:
    found = compare(candidates, truth)
    caption = f"{name}: {found.share:.0%} of {len(truth)} pictures recognisable"
    return {caption: _strip(truth[:_SHOWN], _closest(candidates, found)[:_SHOWN])}


def _closest(candidates: torch.Tensor, found: Reconstruction) -> torch.Tensor:
    return candidates[torch.from_numpy(found.closest)]


def _strip(above: torch.Tensor, below: torch.Tensor) -> str:
    """Two rows of pictures as one PNG in a data URI."""
    from PIL import Image  # noqa: PLC0415 - an optional extra

    rows = [np.concatenate([_pixels(one) for one in row], axis=1) for row in (above, below)]
    out = io.BytesIO()
    Image.fromarray(np.concatenate(rows)).save(out, format="PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def _pixels(picture: torch.Tensor) -> NDArray[np.uint8]:
    values = torch.nan_to_num(picture.double()).clamp(0, 1)
    if values.ndim == 3:
        values = values.permute(1, 2, 0)
    return np.ascontiguousarray((values * 255).round().to(torch.uint8).numpy())
