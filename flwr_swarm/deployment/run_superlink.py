"""`flower-superlink` that others may only use as SuperNodes do.

Run as `python -m flwr_swarm.deployment.run_superlink`. Flower serves all its interfaces on one
port, and asks for no account: whoever reaches it may register nodes, start runs, and so send code
to every site. From other machines this one takes the requests of SuperNodes alone, which sign
each with a registered key.
"""

from __future__ import annotations

import ipaddress
from typing import Any, Final

from ..flower.compat import run_superlink

OPEN: Final = ("/v1/fleet/", "/health")
"""What a machine other than the relay's may ask for."""
_REFUSED: Final = 403


class Guard:
    """ASGI middleware: the relay's own machine may ask for everything, others for `OPEN`."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan" or allowed(_host(scope), str(scope.get("path", ""))):
            await self._app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        text = b"only SuperNodes are served from other machines\n"
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(text))]
        await send({"type": "http.response.start", "status": _REFUSED, "headers": headers})
        await send({"type": "http.response.body", "body": text})


def allowed(host: str | None, path: str) -> bool:
    """Whether a machine may ask for a path.

    Parameters
    ----------
    host : str or None
        Address of the one who asks; None where it is not known.
    path : str
    """
    if any(path.startswith(each) if each.endswith("/") else path == each for each in OPEN):
        return True
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _host(scope: Any) -> str | None:
    client = scope.get("client")
    return str(client[0]) if client else None


def main() -> None:
    """Run until a signal."""
    run_superlink(Guard)


if __name__ == "__main__":
    main()
