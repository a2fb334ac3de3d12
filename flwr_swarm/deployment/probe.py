"""Which terms an app's own SwarmStrategy has: runs its ServerApp up to `strategy.start`.

`python -m flwr_swarm.deployment.probe APP MEMBERS` prints them as JSON. In a process of its own,
because it runs the app's code; nothing is sent and nothing is trained.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Self

from .._exceptions import ConfigurationError
from ..protocol.terms import Terms

_SECONDS: Final = 120.0
_MARKER: Final = "flwr_swarm-probe:"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What an app's strategy asks of a consortium.

    Parameters
    ----------
    terms : Terms
    policy : tuple of str
        Settings of the policy that differ from the defaults, as `--policy` takes them.
    """

    terms: Terms
    policy: tuple[str, ...]

    @classmethod
    def of(cls, app: Path, members: int, config: dict[str, Any] | None = None) -> Self:
        """Ask the app in folder `app`.

        Parameters
        ----------
        members : int
            How many found the consortium.
        config : dict
            Overrides of the app's run config.

        Raises
        ------
        ConfigurationError
            It is no Flower app, or starts no SwarmStrategy.
        """
        command = [sys.executable, "-m", __name__, str(app.resolve()), str(members)]
        try:
            done = subprocess.run(  # noqa: S603 - this interpreter
                [*command, json.dumps(config or {})],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise ConfigurationError(
                f"the ServerApp of {app} did not come to strategy.start within {_SECONDS:.0f} s; "
                "give --terms instead"
            ) from None
        told = [line for line in done.stdout.splitlines() if line.startswith(_MARKER)]
        if not told:
            last = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
            raise ConfigurationError(
                f"the ServerApp of {app} starts no SwarmStrategy here ({last[:300]}); "
                "give --terms instead"
            )
        found = json.loads(told[-1].removeprefix(_MARKER))
        return cls(terms=Terms.from_json(found["terms"]), policy=tuple(found["policy"]))


def _ask(app: Path, members: int, config: dict[str, Any]) -> dict[str, Any]:
    from flwr.app import Context, RecordDict  # noqa: PLC0415 - slow, and only for this process

    from ..protocol.terms import default_capacity  # noqa: PLC0415
    from ..strategy import SwarmStrategy  # noqa: PLC0415

    project = tomllib.loads((app / "pyproject.toml").read_text(encoding="utf-8"))
    flower = project["tool"]["flwr"]["app"]
    module, _, name = str(flower["components"]["serverapp"]).partition(":")
    sys.path.insert(0, str(app))
    found: list[SwarmStrategy] = []

    class Found(Exception):
        pass

    def stop(strategy: SwarmStrategy, *_: Any, **__: Any) -> None:
        found.append(strategy)
        raise Found

    SwarmStrategy.start = stop  # type: ignore[method-assign, assignment]
    context = Context(
        run_id=1,
        node_id=1,
        node_config={},
        state=RecordDict(),
        run_config={**_flat(flower.get("config", {})), **config},
    )
    server = getattr(import_module(module), name)
    with suppress(Found):
        server(_NoGrid(), context)
    if not found:
        raise ConfigurationError("its main function ended without SwarmStrategy.start")
    terms = found[0].terms(default_capacity(members))
    return {"terms": terms.to_json(), "policy": found[0].policy_settings(members)}


class _NoGrid:
    """Whoever needs the network before `start` cannot be asked."""

    def __getattr__(self, name: str) -> Any:
        raise ConfigurationError(f"its main function uses grid.{name} before SwarmStrategy.start")


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat


def main() -> None:
    """Print what one app wants."""
    app, members, config = sys.argv[1:]
    print(_MARKER + json.dumps(_ask(Path(app), int(members), json.loads(config))))


if __name__ == "__main__":
    main()
