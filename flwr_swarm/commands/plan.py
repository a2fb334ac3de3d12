"""The founding document: who founds a swarm, under which rules, at which address; signed by all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

from eth_account.signers.local import LocalAccount

from .._exceptions import ConfigurationError, WireError, WrongChain
from ..chain import artifact
from ..chain.client import ReadOnlyLedger
from ..chain.deploy import contract_address, deploy
from ..chain.founding import found
from ..protocol.quorum import check_protects
from ..protocol.terms import Terms
from ..protocol.types import HASH_BYTES, NO_CAP, Card, LedgerView, Policy
from .applications import Application
from .policies import NAMES, check, differences, policy_json
from .strict import UINT64, address, hexed, record, whole

FORMAT: Final = "flwr_swarm consortium"
VERSION: Final = 1
_FIELDS: Final = (
    "format",
    "version",
    "chain_id",
    "contract",
    "founder",
    "code",
    "policy",
    "terms",
    "applications",
)
_UINT8: Final = 1 << 8
_UINT32: Final = 1 << 32


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A swarm that is to be founded, or was.

    Parameters
    ----------
    chain_id : int
    contract : str
        Address that the founder's next transaction creates.
    founder : str
        Account that deploys; it gets no power over the swarm.
    policy : Policy
    terms : Terms
        What `policy.terms` is the hash of.
    applications : tuple of Application
        Member i is `applications[i]`.
    """

    chain_id: int
    contract: str
    founder: str
    policy: Policy
    terms: Terms
    applications: tuple[Application, ...]

    @property
    def cards(self) -> tuple[Card, ...]:
        """The founding members, in order of their seats."""
        return tuple(application.card for application in self.applications)

    def check(self, *, chain_id: int, nonce: int, now: int) -> None:
        """Refuse a plan that the chain would refuse, or that would found a useless swarm.

        Parameters
        ----------
        chain_id : int
            Of the chain that is there.
        nonce : int
            Transactions that the founder has sent on it.
        now : int
            Seconds since 1970.

        Raises
        ------
        WrongChain
            The plan or a card is for another chain or address.
        ConfigurationError
            A card's signature does not hold, or the policy could not protect an update.
        TransactionRefused
            What the contract would say, by its error's name.
        """
        due = contract_address(self.founder, nonce)
        if (self.chain_id, self.contract) != (chain_id, due):
            raise WrongChain(
                f"the plan is for contract {self.contract} on chain {self.chain_id}, but "
                f"{self.founder} would now create {due} on chain {chain_id}: it has sent {nonce} "
                "transactions there. All cards are signed for one address, so let all sites apply "
                "for that one"
            )
        for application in self.applications:
            application.check(chain_id=chain_id, contract=self.contract, now=now)
            if application.seat is not None:
                raise ConfigurationError(
                    f"the application of {application.card.account} is for keys of seat "
                    f"{application.seat}, not for a new seat; let the site apply again"
                )
        if self.policy.terms != self.terms.hash():
            raise ConfigurationError(
                f"the policy pins terms with hash {self.policy.terms.hex()}, the terms beside it "
                f"have {self.terms.hash().hex()}; give the terms as a file, not as a setting"
            )
        check(self.policy, range(len(self.cards)))
        found(self.cards, self.policy, chain_id=chain_id, contract=self.contract)
        if self.terms.encryption == "threshold":
            check_protects(self.policy, len(self.cards))
        if self.terms.members < len(self.cards):
            raise ConfigurationError(
                f"the terms hold sums of at most {self.terms.members} members, and "
                f"{len(self.cards)} found the swarm; raise the terms' members"
            )

    def found(self, url: str, key: LocalAccount | bytes, *, timeout: float) -> None:
        """Deploy, and check what stands at the address then.

        Raises
        ------
        LedgerError
            As `chain.deploy.deploy`.
        WrongChain
            The contract came to stand elsewhere: the founder sent something meanwhile.
        """
        made = deploy(url, cards=self.cards, policy=self.policy, key=key, timeout=timeout)
        if made != self.contract:
            raise WrongChain(
                f"the contract came to stand at {made}, not at {self.contract} for which the "
                "cards are signed; the founder's account sent something meanwhile. Nobody can "
                "seal there: begin again with new cards"
            )
        ReadOnlyLedger(url=url, contract=made, chain_id=self.chain_id, timeout=timeout).connect()

    def compare(self, view: LedgerView) -> None:
        """Refuse a swarm that is not the one of this plan.

        Members and policy are compared while no vote has changed them; afterwards the address
        alone says that it is the same swarm.

        Raises
        ------
        WrongChain
        """
        if (view.chain_id, view.contract) != (self.chain_id, self.contract):
            raise WrongChain(
                f"the document is for contract {self.contract} on chain {self.chain_id}, not for "
                f"{view.contract} on chain {view.chain_id}"
            )
        if view.epoch > 1:
            return
        listed = [(member.account, member.encryption_key) for member in view.members]
        if listed != [(card.account, card.encryption_key) for card in self.cards]:
            raise WrongChain(
                f"the members at {view.contract} are not those of the document; ask the founder, "
                "and do not take part"
            )
        if view.policy != self.policy:
            changed = ", ".join(
                f"{name} {before} -> {after}"
                for name, before, after in differences(self.policy, view.policy)
            )
            raise WrongChain(
                f"the policy at {view.contract} is not the document's: {changed}; ask the "
                "founder, and do not take part"
            )

    def to_json(self) -> dict[str, Any]:
        """Plain data, as the file holds it."""
        shipped = artifact.load()
        return {
            "format": FORMAT,
            "version": VERSION,
            "chain_id": self.chain_id,
            "contract": self.contract,
            "founder": self.founder,
            "code": {
                "swarm": "0x" + shipped.code_hash.hex(),
                "charter": "0x" + shipped.charter_hash.hex(),
            },
            "policy": policy_json(self.policy),
            "terms": self.terms.to_json(),
            "applications": [application.to_json() for application in self.applications],
        }

    @classmethod
    def from_json(cls, data: object) -> Self:
        """A plan that a stranger wrote. Anything unknown, missing or odd is refused."""
        fields = record(data, _FIELDS, "a founding document")
        if (fields["format"], fields["version"]) != (FORMAT, VERSION):
            raise WireError(
                f"the file is {str(fields['format'])[:40]!r}, expected {FORMAT!r} version {VERSION}"
            )
        shipped = artifact.load()
        code = record(fields["code"], ("swarm", "charter"), "code")
        for name, expected in (("swarm", shipped.code_hash), ("charter", shipped.charter_hash)):
            if hexed(code[name], HASH_BYTES, f"code.{name}") != expected:
                raise WrongChain(
                    f"the document is for {name} code {code[name]}, this version ships "
                    f"0x{expected.hex()}; install the version of flwr_swarm that wrote it"
                )
        applications, terms = fields["applications"], fields["terms"]
        if not isinstance(applications, list) or not isinstance(terms, dict):
            raise WireError("applications must be a list, and terms an object")
        return cls(
            chain_id=whole(fields["chain_id"], "chain_id"),
            contract=address(fields["contract"], "contract"),
            founder=address(fields["founder"], "founder"),
            policy=_policy(fields["policy"]),
            terms=Terms.from_json(terms),
            applications=tuple(Application.from_json(each) for each in applications),
        )


def _policy(data: object) -> Policy:
    fields = record(data, NAMES, "a policy")
    found: dict[str, Any] = {}
    for name, value in fields.items():
        if name == "terms":
            found[name] = hexed(value, HASH_BYTES, name)
        elif name == "relaying":
            if type(value) is not bool:
                raise WireError(f"relaying must be true or false, got {value!r:.40}")
            found[name] = value
        elif name == "fixed_leader" and value is None:
            found[name] = None
        elif name == "epsilon_cap":
            found[name] = NO_CAP if value is None else whole(value, name, below=UINT64 - 1)
        else:
            limit = _UINT32 if name.endswith("_seconds") else _UINT8 - (name == "fixed_leader")
            found[name] = whole(value, name, below=limit)
    return Policy(**found)
