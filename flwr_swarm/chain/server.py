"""The development chain over HTTP on the loopback interface, for the members' processes.

For development: no authentication. `ChainServer` serves a chain from a thread; `serve` keeps one
in a folder and serves it until a signal, as ``python -m flwr_swarm.chain.server --dir D`` does.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from flwr_swarm._exceptions import ConfigurationError, LedgerError

from . import jsonrpc
from .durable import DurableChain
from .embedded import CLIENT, EmbeddedChain
from .endpoint import LOOPBACK, Endpoint

PORT: Final = 8545
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_log = logging.getLogger(__name__)


class ChainServer:
    """Serve `chain` on an ephemeral port of the loopback interface while the context is open.

    Parameters
    ----------
    chain : EmbeddedChain or DurableChain
    port : int
        0 takes a free one.
    on_failure : callable or None
        Called once the chain has stopped because it could not keep a block.

    Raises
    ------
    ConfigurationError
        On start, if the port cannot be had.
    """

    def __init__(
        self,
        chain: EmbeddedChain | DurableChain,
        *,
        port: int = 0,
        on_failure: Callable[[], None] | None = None,
    ) -> None:
        self.chain = chain
        self._port = port
        self._on_failure = on_failure
        self._server: Endpoint | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Address for clients; only while the server runs."""
        if self._server is None:
            raise RuntimeError("the chain server does not run; call start() first")
        return f"http://{LOOPBACK}:{self._server.server_port}"

    def start(self) -> Self:
        """Serve from a background thread, which ends with the process."""
        if self._server is None:
            try:
                self._server = Endpoint((LOOPBACK, self._port), self.chain, self._on_failure)
            except OSError as error:
                raise ConfigurationError(
                    f"port {self._port} of {LOOPBACK} cannot be had ({error.strerror}); choose "
                    "another, or 0 for a free one"
                ) from error
            self._thread = threading.Thread(
                target=self._server.serve_forever,
                kwargs={"poll_interval": 0.05},
                name="flwr-swarm-chain",
                daemon=True,
            )
            self._thread.start()
            _log.warning("%s %d at %s, FOR DEVELOPMENT ONLY", CLIENT, *self._named())
        return self

    def _named(self) -> tuple[int, str]:
        return self.chain.chain_id, self.url

    def stop(self) -> None:
        """Free the port, answer what was asked, and hang up; the chain itself stays."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server.hang_up()
        self._server = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What `serve` says once it accepts connections; all in it is public."""

    url: str
    chain_id: int
    height: int
    state_root: str
    cut: int
    """Bytes of an unfinished record that a crash left in the journal."""

    def __str__(self) -> str:
        cut = f", cut {self.cut} bytes that a crash left" if self.cut else ""
        return (
            f"{CLIENT} (FOR DEVELOPMENT ONLY) at {self.url}: chain {self.chain_id}, "
            f"{self.height} blocks, state root {self.state_root}{cut}"
        )


def serve(
    folder: Path,
    *,
    port: int = PORT,
    chain_id: int | None = None,
    ready: Callable[[Serving], None] | None = None,
    time_travel: bool = False,
) -> int:
    """Serve the development chain in `folder` until SIGTERM or SIGINT; call it in the main thread.

    Parameters
    ----------
    folder : Path
        Holds the chain; begun where it is missing. `DurableChain` says what survives.
    port : int
        On 127.0.0.1; 0 takes a free one.
    chain_id : int or None
        What the chain must have; None takes what is there, or draws one at random.
    ready : callable or None
        Called once connections are accepted; None prints one line.
    time_travel : bool
        Offer `evm_increaseTime`, for tests.

    Returns
    -------
    int
        Exit code: 0 after a signal, 1 if a block could not be kept.

    Raises
    ------
    FolderInUse, JournalCorrupt, WrongChain
        From `DurableChain.open`.
    ConfigurationError
        The port cannot be had.
    """
    ended, failed = threading.Event(), threading.Event()

    def fail() -> None:
        failed.set()
        ended.set()

    with DurableChain.open(folder, chain_id=chain_id, time_travel=time_travel) as chain:
        before = {s: signal.signal(s, lambda *_: ended.set()) for s in _SIGNALS}
        try:
            newest = chain.height  # read before anyone knows the URL and can add a block
            state_root = jsonrpc.hexed(chain.block(newest).state_root)
            with ChainServer(chain, port=port, on_failure=fail) as server:
                serving = Serving(
                    url=server.url,
                    chain_id=chain.chain_id,
                    height=newest,
                    state_root=state_root,
                    cut=chain.cut,
                )
                (ready or _announce)(serving)
                ended.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    if failed.is_set():
        _log.error("a block could not be kept; make room on the disk and start again")
    return int(failed.is_set())


def _announce(serving: Serving) -> None:
    print(serving, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run `serve` from a command line."""
    parser = argparse.ArgumentParser(description="The development chain, FOR DEVELOPMENT ONLY.")
    parser.add_argument("--dir", type=Path, required=True, help="folder that holds the chain")
    parser.add_argument("--port", type=int, default=PORT, help="on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--chain-id", type=int, default=None)
    parser.add_argument("--time-travel", action="store_true", help="offer evm_increaseTime")
    options = parser.parse_args(arguments)
    try:
        return serve(
            options.dir,
            port=options.port,
            chain_id=options.chain_id,
            time_travel=options.time_travel,
        )
    except (LedgerError, ConfigurationError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
