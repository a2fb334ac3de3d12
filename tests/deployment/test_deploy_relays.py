"""Which relay is next: all are tried, none is forgotten, the current one first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flwr_swarm._exceptions import ConfigurationError
from flwr_swarm.deployment.address import Address
from flwr_swarm.deployment.relays import Relays

addresses = st.lists(
    st.integers(1, 65535).map(lambda port: Address("relay.example", port)),
    min_size=1,
    max_size=6,
    unique=True,
).map(tuple)


@given(given=addresses, data=st.data())
def test_every_relay_is_tried_once_and_the_current_one_first(given, data):
    relays = Relays(given)
    assert relays.current == given[0]
    for _ in range(5):
        address = data.draw(st.sampled_from(given))
        if data.draw(st.booleans()):
            relays.use(address)
            assert relays.current == address
        else:
            relays.give_up(address)
            assert len(given) == 1 or relays.current != address
        assert sorted(relays.in_turn()) == sorted(given)
        assert relays.in_turn()[0] == relays.current


@given(given=addresses)
def test_giving_up_one_after_another_comes_to_all(given):
    relays, seen = Relays(given), []
    for _ in given:
        seen.append(relays.current)
        relays.give_up(relays.current)
    assert tuple(seen) == given
    assert relays.current == given[0]


def test_none_or_one_twice_is_refused():
    with pytest.raises(ConfigurationError, match="at least one relay"):
        Relays(())
    twice = Address("relay.example", 1)
    with pytest.raises(ConfigurationError, match="named twice"):
        Relays((twice, twice))
