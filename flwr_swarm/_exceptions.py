"""The one tree of exceptions: every error that flwr_swarm raises on purpose is a `SwarmError`.

A message states the value that was refused and what to do about it. No message ever holds a
key, a share, an update or a row of data, because Flower sends exception texts to the server.
"""

from __future__ import annotations


class SwarmError(Exception):
    """Base of every error that flwr_swarm raises on purpose."""


class ConfigurationError(SwarmError, ValueError):
    """A parameter, a strategy or an environment that cannot work; nothing was started."""


class FlowerRunError(SwarmError):
    """A run on one of Flower's engines did not complete, or the engine did not start."""


class UnsupportedStrategy(ConfigurationError):
    """The wrapped strategy needs what encryption withholds (individual updates)."""


# --- what a member's own training produced -------------------------------------------------


class UpdateError(SwarmError, ValueError):
    """A member's update cannot be sealed as it is; nothing was sealed."""


class NonFiniteUpdate(UpdateError):
    """The update, its weight or a metric holds NaN or infinity."""


class UpdateMismatch(UpdateError):
    """Names, shapes or dtypes of the reply differ from the global model's."""


class CapacityExceeded(UpdateError):
    """A value, a weight, a metric or the number of members overflows its lane."""


class UnusableMetric(SwarmError, ValueError):
    """A mean metric that a rule of the run looks at is not there, or is no finite number."""


class TrainingFailed(SwarmError):
    """The user's train or evaluate function raised; its own text stays at the site."""


# --- bytes from strangers --------------------------------------------------------------------


class WireError(SwarmError, ValueError):
    """Bytes from another party are not a well-formed message of this protocol."""


# --- encryption ------------------------------------------------------------------------------


class EncryptionError(SwarmError):
    """Base of errors of the encryption scheme."""


class KeyReused(EncryptionError):
    """A one-time key was asked to work twice."""


class ShareRefused(EncryptionError):
    """A key share does not open: wrong receiver, wrong round, or altered on its way."""


class BadDealing(ShareRefused):
    """A key share is not what its dealer's proof says, by the dealer's own doing."""


class OpeningReused(EncryptionError):
    """A holder was asked to open a second set of one round."""


class OpeningRejected(EncryptionError):
    """The openings do not open the sum: too few, inconsistent, or not of this sum."""


# --- ledger ----------------------------------------------------------------------------------


class LedgerError(SwarmError):
    """Base of errors between a member and its ledger."""


class ChainUnreachable(LedgerError, ConnectionError):
    """No answer from the chain within the time limit; the call can be repeated."""


class WrongChain(LedgerError):
    """The chain or the contract is not the one that was pinned."""


class NoContract(WrongChain):
    """The pinned address holds no contract on this chain."""


class WrongContract(WrongChain):
    """The pinned address holds another contract than this version ships."""


class NodeBehind(ChainUnreachable):
    """The node is still catching up with its chain and cannot answer for its newest block."""


class AccountBusy(LedgerError):
    """Another process sends with this account's key; nothing was sent."""


class ChainReorganised(WrongChain):
    """The chain no longer holds a block that was read from it before."""


class FolderInUse(ConfigurationError):
    """Another process holds the folder; two writers would damage what it keeps."""


class JournalCorrupt(LedgerError):
    """A development chain's journal was altered, or does not replay to the same blocks."""


class NotAMember(LedgerError):
    """The account is not a member of this swarm."""


class TransactionRefused(LedgerError):
    """The contract refused a transaction; `reason` is the contract's own error name."""

    def __init__(self, reason: str, details: str = "") -> None:
        self.reason = reason
        self.details = details
        super().__init__(f"{reason}: {details}" if details else reason)


class OutOfFunds(TransactionRefused):
    """The account cannot pay for gas."""


# --- protocol --------------------------------------------------------------------------------


class ProtocolError(SwarmError):
    """Another party did not follow the protocol; the step was refused."""


class ModelRefused(ProtocolError):
    """The model offered for training is not the one that the swarm certified."""


class SealMismatch(ProtocolError):
    """A ciphertext or a share is not the one that its member sealed on chain."""


class NotCertified(ProtocolError):
    """No certificate on chain authorises this opening."""


class AlreadyOpened(ProtocolError):
    """This member's shares of the round were already released for another set."""


class NoOffice(ProtocolError):
    """The member was asked to act in an office that the draw did not give it."""


class MemberSuspended(ProtocolError):
    """The member may neither seal nor hold office until the consortium votes it back."""


class StaleRound(ProtocolError):
    """The message belongs to a round that is not the current one."""


class KeyDrawn(StaleRound):
    """The member drew its one-time key of the round before it was interrupted; never a second."""


class StudyStopped(ProtocolError):
    """The members voted to stop the study; nobody trains in it until they vote it back."""


class RoundVoid(ProtocolError):
    """The round ended without a model; training goes on from the last one."""


# --- privacy ---------------------------------------------------------------------------------


class PrivacyError(SwarmError):
    """Base of errors of the differential-privacy wiring."""


class BudgetExhausted(PrivacyError):
    """The next round would exceed the site's privacy budget; nothing was trained."""


class NotPrivate(PrivacyError):
    """The swarm has a budget, and the site trained without differential privacy."""


class AccountantLost(PrivacyError):
    """The chain remembers more epsilon than this site's accountant does."""


# --- audits ----------------------------------------------------------------------------------


class GateTripped(SwarmError, AssertionError):
    """A gate found a leak, or noise that is not what was claimed."""


# --- evidence --------------------------------------------------------------------------------


class EvidenceError(SwarmError):
    """A run's evidence is incomplete, altered, or contradicts the chain."""


# --- keys at rest ----------------------------------------------------------------------------


class KeystoreError(ConfigurationError):
    """A folder of keys is missing, incomplete or damaged; no key was read."""


class KeystoreExists(KeystoreError):
    """Keys are never overwritten."""


class KeystoreExposed(KeystoreError):
    """Others than the owner can read or change what holds keys; no key was read."""


class MemoryDamaged(KeystoreError):
    """What a site remembers of its rounds was altered on its disk, or cannot be written there."""


class WrongPassword(KeystoreError):
    """The password does not open the keystore."""
