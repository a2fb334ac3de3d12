"""Import what warns before warnings become errors; and one seed for what is not DP's own."""

import warnings

import pytest
import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Flower's typer still uses a deprecated name of click's
    import flwr.clientapp
    import opacus

__all__ = ["flwr", "opacus"]


@pytest.fixture(autouse=True)
def _same_models():
    """First weights and data, whichever test ran before. Noise and sampling heed no torch seed."""
    torch.manual_seed(0)
