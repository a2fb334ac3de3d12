"""The terms: every number that all members must share, pinned on chain by its hash."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, cast

from .._exceptions import ConfigurationError, WireError
from ..encryption import Codec, Precision, SharedNoise, ThresholdScheme
from ..encryption.fixed_point import METRIC_BOUND, PRODUCT_LIMIT
from ..encryption.layers import check_bound
from ..encryption.layers import check_noise as check_no_layers
from ..encryption.profile import DEFAULT_PRECISION
from .hashing import terms_hash
from .types import Policy

PROTOCOL_VERSION: Final = 1
_SMALL: Final = 16
_LARGE: Final = 64
Encryption = Literal["threshold", "none"]
ENCRYPTIONS: Final = ("threshold", "none")


def default_capacity(members: int) -> int:
    """Most members that a new consortium's sums hold: room to grow, at little cost in rounding."""
    return _SMALL if members <= _SMALL else _LARGE


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a swarm agreed on when it was founded.

    A relay cannot change one of these later: members compare their hash with the contract's.

    Parameters
    ----------
    encryption : {"threshold", "none"}
    members : int
        Most members that one sum can hold.
    clip : float
        L2 bound of an update; a longer one is scaled down to it.
    max_weight : float
        Public bound of a member's number of training examples.
    weight_key : str
        Metric that holds the number of training examples.
    strategy : str
        Name of the Flower strategy whose step the committee replays.
    parameters : mapping of str to float
        Its hyperparameters.
    noise : SharedNoise, optional
        Noise that members add together, a share each, to what they encrypt.
    precision : {8, 12, 16, 24}
        Bits of a value at least; see `encryption.Profile`.
    layer_clips, entry_clips : tuple of (str, float)
        Bounds of single arrays, by pattern of their names; the first that matches holds. Of their
        L2 norms, and of each |entry|.
    """

    encryption: Encryption
    members: int
    clip: float = 10.0
    max_weight: float = 65536.0
    weight_key: str = "num-examples"
    strategy: str = "FedAvg"
    parameters: Mapping[str, float] = field(default_factory=dict)
    noise: SharedNoise | None = None
    precision: Precision = DEFAULT_PRECISION
    layer_clips: tuple[tuple[str, float], ...] = ()
    entry_clips: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        if self.encryption not in ENCRYPTIONS:
            raise ConfigurationError(
                f"encryption must be one of {', '.join(ENCRYPTIONS)}, got {self.encryption!r}"
            )
        if self.noise is not None and self.encryption != ENCRYPTIONS[0]:
            raise ConfigurationError(
                "shared noise protects only a sum, and encryption='none' shows every update with "
                "a share of the noise; use encryption='threshold'"
            )
        self.codec()  # refuses a bad clip, weight or capacity before anything starts
        check_no_layers((*self.layer_clips, *self.entry_clips), self.noise)
        for given in (self.layer_clips, self.entry_clips):
            for pattern, bound in given:
                check_bound(pattern, bound, self.clip)
            if len(dict(given)) != len(given):
                raise ConfigurationError(
                    f"a pattern of layer_clips or entry_clips has one bound, got "
                    f"{[pattern for pattern, _ in given]}; leave one of the equal patterns out"
                )

    def codec(self) -> Codec:
        """How an update becomes the integers that are added."""
        return Codec(
            clip=self.clip,
            max_weight=self.max_weight,
            members=self.members,
            precision=self.precision,
            # A metric has the bits that a larger weight does not take.
            metric_bound=min(METRIC_BOUND, PRODUCT_LIMIT / max(self.max_weight, 1.0)),
            noise=self.noise,
        )

    def scheme(self) -> ThresholdScheme:
        """What encrypts these integers, in lanes as wide as the precision and the members ask."""
        return ThresholdScheme(parameters=self.codec().ring)

    def to_json(self) -> dict[str, Any]:
        """Plain data: the terms, and the codec's public numbers beside them."""
        plain = {**asdict(self), "parameters": dict(self.parameters)}
        plain["layer_clips"] = [list(entry) for entry in self.layer_clips]
        plain["entry_clips"] = [list(entry) for entry in self.entry_clips]
        for name, default in (
            ("noise", None),
            ("precision", DEFAULT_PRECISION),
            ("layer_clips", []),
            ("entry_clips", []),
        ):
            if plain[name] == default:
                del plain[name]  # terms without it stay what they were
        return {"protocol": PROTOCOL_VERSION, "codec": self.codec().to_terms(), **plain}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Terms:
        """Terms that a stranger sent. Anything unknown, missing or inconsistent is refused."""
        if data.get("protocol") != PROTOCOL_VERSION:
            raise WireError(
                f"this swarm speaks protocol {data.get('protocol')!r}, this site speaks "
                f"{PROTOCOL_VERSION}; install the same flwr-swarm version at every site"
            )
        try:
            parameters = dict(data["parameters"])
            terms = cls(
                encryption=cast(Encryption, str(data["encryption"])),
                members=int(data["members"]),
                clip=float(data["clip"]),
                max_weight=float(data["max_weight"]),
                weight_key=str(data["weight_key"]),
                strategy=str(data["strategy"]),
                parameters={str(name): float(parameters[name]) for name in parameters},
                noise=_noise(data["noise"]) if "noise" in data else None,
                precision=data.get("precision", DEFAULT_PRECISION),
                layer_clips=_bounds(data.get("layer_clips", ())),
                entry_clips=_bounds(data.get("entry_clips", ())),
            )
        except ConfigurationError as error:
            raise WireError(f"the swarm's terms cannot work: {error}") from None
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise WireError(f"the swarm's terms are malformed: {type(error).__name__}") from None
        if not all(math.isfinite(value) for value in terms.parameters.values()):
            raise WireError("the swarm's terms hold a strategy parameter that is not finite")
        if terms.to_json() != dict(data):
            raise WireError("the swarm's terms hold fields that this version does not know")
        return terms

    def hash(self) -> bytes:
        """32 bytes, as the contract pins them."""
        return terms_hash(self.to_json())


def check_noise(terms: Terms, policy: Policy) -> None:
    """Refuse sums of fewer members than whose noise is needed.

    Raises
    ------
    ConfigurationError
    """
    if terms.noise is not None and policy.min_included < terms.noise.honest:
        raise ConfigurationError(
            f"shared noise needs the shares of {terms.noise.honest} members, and a sum may be of "
            f"{policy.min_included}; raise min_included, or lower SharedNoise(honest=...), which "
            "makes each share larger"
        )


def check_capacity(terms: Terms, policy: Policy, members: int) -> None:
    """Refuse sums of more members than a lane has room for.

    Raises
    ------
    ConfigurationError
    """
    most = min(policy.close_at, members)
    if terms.encryption == ENCRYPTIONS[0] and most > terms.members:
        raise ConfigurationError(
            f"a round may add up {most} members (close_at={policy.close_at}, {members} seats), and "
            f"the terms hold sums of at most {terms.members}; lower close_at to {terms.members}, "
            f"or agree on terms for more: SwarmStrategy.terms({most})"
        )


def _bounds(data: Any) -> tuple[tuple[str, float], ...]:
    return tuple((str(pattern), float(bound)) for pattern, bound in data)


def _noise(data: Mapping[str, Any]) -> SharedNoise:
    return SharedNoise(
        noise_multiplier=float(data["noise_multiplier"]),
        sensitivity=float(data["sensitivity"]),
        honest=int(data["honest"]),
    )
