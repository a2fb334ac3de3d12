"""Settings of the attack tests: one thread and one torch seed, so that results are repeatable."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _repeatable():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)  # whichever test ran before; noise of DP heeds no torch seed
    yield
    torch.set_num_threads(before)
