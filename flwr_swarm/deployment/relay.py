"""One member relays: its SuperLink, the members' nodes, and a run of the app to its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

from .._exceptions import ConfigurationError, FlowerRunError
from ..flower.compat import Control
from .address import Address
from .backoff import Backoff
from .flower import configure, overrides, undisturbed
from .keeper import Keeper
from .layout import SiteFolder
from .order import Order, config_of
from .reach import why_not
from .roles import find
from .runs import Runner, Tail, started
from .session import Session
from .superlink import CONNECTION, SuperLink, admit
from .surroundings import of_relay
from .watch import Watch

_START_SECONDS: Final = 60.0
_TICK_SECONDS: Final = 0.5
_TELL_SECONDS: Final = 15.0
_ONLINE: Final = "online"
_CHAIN_KEY: Final = "swarm-chain"
_CONTRACT_KEY: Final = "swarm-contract"


class Relay:
    """Relays for one order. Use it as a context manager: leaving ends what it started.

    Parameters
    ----------
    folder : SiteFolder
        Of the member that relays.
    order : Order
    say : callable
        Receives one line for each event.

    Raises
    ------
    ConfigurationError
        The site cannot relay, or the app is none.
    FolderInUse
        The site relays already.
    """

    def __init__(self, folder: SiteFolder, order: Order, *, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._settings = folder.settings()
        self._order = order
        self._say = say
        self._session = Session(folder.path, "relay")
        self._mark = self._session.mark
        self._app_config = config_of(order.app)
        self._keeper: Keeper | None = None
        self._address: Address | None = None
        self._env: dict[str, str] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Relay:
        self._folder.make_working_folders()
        with ExitStack() as stack:
            stack.enter_context(self._session)
            self._find_superlink()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with undisturbed(), self._stack:
            if self._keeper is not None:
                self._keeper.stop()

    def run(self) -> str:
        """Run the app until it completed; returns the number of the run that did.

        Raises
        ------
        FlowerRunError
            It did not complete, also not when begun again.
        ConfigurationError
            Too few nodes are connected.
        """
        backoff = Backoff(first=2.0, most=30.0)
        for attempt in range(self._order.retries + 1):
            try:
                self._await_superlink()
                self._await_nodes()
                return self._run_once()
            except FlowerRunError as error:
                if attempt == self._order.retries:
                    raise
                pause = backoff.after(attempt + 1)
                left = self._order.retries - attempt
                self._say(f"{_first_line(error)}; begins again in {pause:.0f} s ({left} left)")
                self._pump(lambda: False, pause)
        raise AssertionError("the loop returns or raises")

    def _find_superlink(self) -> None:
        order, settings = self._order, self._settings
        if order.superlink is None:
            own = SuperLink(self._folder, settings, mark=self._mark, say=self._say)
            self._address, self._env = own.address, own.configure()
            if why_not(own.address, self._folder.trust_root) is None:
                self._say(f"{own.name} runs at {own.address} already")
                admit(self._folder, own.address, self._say)
                return
            self._folder.forget_relaying()
            self._keeper = Keeper(own, say=self._say, backoff=Backoff(most=10.0))
            self._keeper.begin()
            return
        self._address = order.superlink
        self._env = of_relay(
            self._folder,
            role=f"relay:{settings.name}",
            mark=self._mark,
            chain=settings.chain,
            contract=settings.contract,
        )
        configure(
            self._folder.flower.resolve(),
            CONNECTION,
            address=str(order.superlink),
            root=self._folder.trust_root,
        )

    def _await_superlink(self) -> None:
        keeper, address = self._keeper, self._address
        assert address is not None  # noqa: S101 - set on entering
        if keeper is None:
            why = why_not(address, self._folder.trust_root)
            if why is not None:
                raise FlowerRunError(f"the SuperLink at {address} does not answer: {why}")
        elif not self._pump(lambda: keeper.ready, _START_SECONDS):
            raise FlowerRunError(
                f"{keeper.name} was not ready within {_START_SECONDS:.0f} s; see "
                f"{self._folder.logs / 'superlink.log'}"
            )

    def _await_nodes(self) -> None:
        assert self._address is not None  # noqa: S101 - set on entering
        root = self._folder.trust_root.read_bytes()
        enough = self._order.needed
        last, told = -1, 0.0
        begun = time.monotonic()
        with Control(str(self._address), root) as control:
            while True:
                nodes = control.nodes()
                wanted = len(nodes) if enough is None else enough
                online = sum(node.status == _ONLINE for node in nodes)
                passed = time.monotonic() - begun
                if online >= max(wanted, 1):
                    self._say(f"{online} of {len(nodes)} nodes are connected")
                    return
                if passed > self._order.wait:
                    self._check_enough(online, len(nodes))
                    return
                if online != last or passed - told >= _TELL_SECONDS:
                    left = self._order.wait - passed
                    self._say(
                        f"waits for nodes: {online} of {wanted} are connected; for {left:.0f} s "
                        "more"
                    )
                    last, told = online, passed
                self._pump(lambda: False, 1.0)

    def _check_enough(self, online: int, known: int) -> None:
        from .chain_facts import fewest_members  # noqa: PLC0415 - web3-free, but slow to import

        least = self._order.needed
        if least is None:
            least = fewest_members(self._settings.chain, self._settings.contract)
        if online < least:
            raise ConfigurationError(
                f"{online} of {known} nodes connected within {self._order.wait:.0f} s, and a sum "
                f"needs {least}; start the missing sites with flwr-swarm site, or see in their "
                "logs why they do not come"
            )
        self._say(f"goes on with {online} of {known} nodes, enough for a sum")

    def _run_once(self) -> str:
        log = self._folder.logs / "run.log"
        runner = Runner(env=self._env, folder=self._folder.relay.resolve())
        tail = Tail(log, self._order.stream)
        watch = Watch(self._has_server_app)

        def every() -> None:
            self._tick()
            tail.look()
            watch.look()

        try:
            runner.run(
                self._order.app.resolve(), {}, log=log.resolve(), every=every, more=self._config()
            )
        except BaseException:
            run = started(log)
            if run is not None:
                with undisturbed():  # else it goes on beside the next one
                    runner.stop(run)
            raise
        finally:
            tail.look()
        return started(log) or ""

    def _has_server_app(self) -> bool:
        return any(found.kind == "serverapp" for found in find(self._folder.path))

    def _config(self) -> tuple[str, ...]:
        """The overrides, and chain and contract where the app has a place for them."""
        known = {_CHAIN_KEY: self._settings.chain, _CONTRACT_KEY: self._settings.contract}
        ours = overrides({k: v for k, v in known.items() if k in self._app_config})
        given = (ours, *self._order.config) if ours else self._order.config
        return tuple(word for each in given for word in ("--run-config", each))

    def _tick(self) -> None:
        if self._keeper is not None:
            self._keeper.tick()

    def _pump(self, until: Callable[[], bool], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not until():
            if time.monotonic() > end:
                return False
            self._tick()
            time.sleep(_TICK_SECONDS)
        return True


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:300]
