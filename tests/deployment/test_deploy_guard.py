"""Other machines may use a relay's SuperLink as SuperNodes do, and in no other way."""

import asyncio
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flwr_swarm.deployment.run_superlink import Guard, allowed

strangers = st.ip_addresses().filter(
    lambda ip: not (getattr(ip, "ipv4_mapped", None) or ip).is_loopback
)
FORBIDDEN = (
    "/v1/control/start-run",
    "/v1/control/register-node",
    "/v1/runtime/pull-task-input",
    "/docs",
    "/openapi.json",
    "/",
    "",
    "/v1/fleet",
    "//v1/fleet/x",
    "/V1/fleet/x",
    "/healthy",
    "/health/../v1/control/x",
)


def asked(host, path, kind="http"):
    """(whether the app behind was asked, status that was sent)."""
    seen, sent = [], []

    async def app(scope, receive, send):
        seen.append(scope)

    async def send(message):
        sent.append(message)

    scope = {"type": kind, "path": path, "client": None if host is None else (host, 1)}
    asyncio.run(Guard(app)(scope, None, send))
    return bool(seen), [message.get("status") for message in sent]


@given(stranger=strangers.map(str), path=st.one_of(st.sampled_from(FORBIDDEN), st.text()))
def test_a_stranger_is_served_what_supernodes_need_and_nothing_else(stranger, path):
    if not path.startswith("/v1/fleet/") and path != "/health":
        assert asked(stranger, path) == (False, [403, None])
        assert asked(None, path) == (False, [403, None])
        assert asked(stranger, path, "websocket") == (False, [None])


@given(stranger=strangers.map(str), name=st.from_regex(r"[a-z-]{1,20}", fullmatch=True))
def test_supernodes_are_served_from_anywhere(stranger, name):
    assert asked(stranger, f"/v1/fleet/{name}")[0]
    assert asked(stranger, "/health")[0]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("path", FORBIDDEN)
def test_the_relays_own_machine_may_ask_for_everything(host, path):
    assert allowed(host, path)
    assert asked(host, path)[0]


def test_the_start_of_the_server_is_no_request():
    assert asked(None, "", "lifespan")[0]
    assert not allowed("not an address", "/")
    assert not allowed(str(ipaddress.ip_address("::ffff:10.0.0.1")), "/")
