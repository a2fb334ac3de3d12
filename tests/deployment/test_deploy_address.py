"""Addresses: what is read is what was written, and anything else is refused with a remedy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flwr_swarm._exceptions import ConfigurationError
from flwr_swarm.deployment.address import Address, free_ports, is_free

HOSTS = st.one_of(
    st.ip_addresses().map(str),
    st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]{1,8}){0,3}", fullmatch=True),
)


@given(host=HOSTS, port=st.integers(1, 65535))
def test_an_address_reads_as_it_is_written(host, port):
    address = Address(host, port)
    assert Address.parse(str(address)) == address
    assert Address.parse(f"  {address}\n") == address


@given(
    text=st.one_of(
        st.sampled_from(
            ["", ":", "host", "host:", ":9092", "host:0", "host:65536", "host:-1", "host:９０９２",
             "https://host:9092", "host:9092/path", "::1:9092", "[host]:9092", "[::1:9092",
             "a b:9092", "host:00009092", "[::1]", "user@host:1", "x\n:1"]
        ),
        st.text(max_size=30).filter(lambda t: ":" not in t),
    )
)  # fmt: skip
def test_anything_else_is_refused(text):
    with pytest.raises(ConfigurationError, match="an address is host:port"):
        Address.parse(text)


def test_free_ports_are_different_and_free():
    ports = free_ports(8)
    assert len(set(ports)) == 8
    assert all(is_free(port) for port in ports)
    assert not set(free_ports(8, taken=ports)) & set(ports)
