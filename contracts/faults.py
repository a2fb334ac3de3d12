"""The faults that mutants.py plants: each a line of the contracts, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """In `file`, `old` becomes `new`; `old` stands there once."""

    name: str
    file: str
    old: str
    new: str

    def planted(self, text: str) -> str:
        """Return the source with the fault, or say that its line is gone."""
        found = text.count(self.old)
        if found != 1:
            raise SystemExit(f"{self.name}: {found} times in {self.file}: {self.old!r}")
        return text.replace(self.old, self.new)


# Faults that no test can tell from the contract, each with the reason.
SURVIVORS: dict[str, str] = {}

FAULTS = (
    # rounds
    Fault(
        "sealing by another parent is accepted",
        "Swarm.sol",
        "if (call_.parent != r.parent) revert ParentMismatch(call_.parent, r.parent); // I2",
        "",
    ),
    Fault(
        "a member seals twice",
        "Swarm.sol",
        "if (r.sealers.has(who)) revert AlreadySealed(round, who); // I4",
        "",
    ),
    Fault(
        "who abstained seals all the same",
        "Swarm.sol",
        "if (r.abstained.has(who)) revert AlreadyAbstained(round, who); // I4",
        "",
    ),
    Fault(
        "a secret is not checked",
        "Swarm.sol",
        "secret)) != m.commitment)",
        "secret)) == 0)",
    ),
    Fault(
        "epsilon may fall",
        "Swarm.sol",
        "if (epsilon < m.epsilon) revert EpsilonDecreased(epsilon, m.epsilon); // I3",
        "",
    ),
    Fault(
        "the cap is off by one",
        "Swarm.sol",
        "if (epsilon > cap) revert",
        "if (epsilon > cap + 1) revert",
    ),
    Fault(
        "a cap that is pending is forgotten",
        "Swarm.sol",
        "if (pending != 0 && pendingCap < cap) cap = pendingCap;",
        "",
    ),
    Fault(
        "sealing after the deadline is accepted",
        "Swarm.sol",
        "|| block.timestamp > r.sealDeadline",
        "",
    ),
    Fault(
        "sealing closes one second early",
        "Swarm.sol",
        "if (block.timestamp <= r.sealDeadline) revert DeadlineNotReached(r.sealDeadline);",
        "if (block.timestamp < r.sealDeadline) revert DeadlineNotReached(r.sealDeadline);",
    ),
    Fault(
        "a carried round closes at its count",
        "Swarm.sol",
        "if (waiting && (r.relayed || spoken.count() < _policy.closeAt)) return;",
        "if (waiting && spoken.count() < _policy.closeAt) return;",
    ),
    Fault(
        "anyone's signature carries a seal",
        "Swarm.sol",
        "if (indexPlusOne == 0 || indexPlusOne == RETIRED) revert BadSeal();",
        "if (indexPlusOne == 0 || indexPlusOne == RETIRED) indexPlusOne = 1;",
    ),
    Fault(
        "late counts as sealed",
        "Swarm.sol",
        "r.late |= uint64(1) << who;",
        "r.late |= uint64(1) << who; r.sealers |= uint64(1) << who;",
    ),
    Fault(
        "a round that nobody can open stays",
        "Charter.sol",
        "        emit Enacted(id, ++epoch); // G2\n        _voidIfAllAbstained();",
        "        emit Enacted(id, ++epoch); // G2",
    ),
    Fault(
        "coming late undoes a miss",
        "Swarm.sol",
        "r.late |= uint64(1) << who;",
        "r.late |= uint64(1) << who; _present(who);",
    ),
    Fault(
        "the suspended seal",
        "Swarm.sol",
        "    function _seal(uint8 who, SealCall calldata call_, bool carried) private {\n"
        "        if (suspended.has(who)) revert MemberIsSuspended(who);",
        "    function _seal(uint8 who, SealCall calldata call_, bool carried) private {",
    ),
    Fault(
        "a round opens while one runs",
        "Swarm.sol",
        "return round == current + 1 && !_running();",
        "return round == current + 1;",
    ),
    Fault(
        "witnesses are not required",
        "Swarm.sol",
        "return (r.witnessed >= required, VoidReason.TOO_FEW_WITNESSES);",
        "return (true, VoidReason.TOO_FEW_WITNESSES);",
    ),
    Fault(
        "a seat's new member is its former's witness",
        "Swarm.sol",
        "return taken.has(member) && _members[member].since <= base;",
        "return taken.has(member);",
    ),
    Fault(
        "the mix is not reset",
        "Swarm.sol",
        "        _mix = 0;\n",
        "",
    ),
    Fault(
        "outsiders close",
        "Swarm.sol",
        "    function close(uint64 round) external {\n        _sender();",
        "    function close(uint64 round) external {",
    ),
    # merging
    Fault(
        "a quorum is one short",
        "Election.sol",
        "return size - (size - 1) / 3;",
        "return size - (size - 1) / 3 - (size > 3 ? 1 : 0);",
    ),
    Fault(
        "a policy's greater quorum is forgotten",
        "Merging.sol",
        "uint256 required = _policy.quorum < size ? _policy.quorum : size;",
        "uint256 required = 0;",
    ),
    Fault(
        "the leader need not sign",
        "Merging.sol",
        "if (!uint64(signers).has(leader)) revert LeaderNotSigned(leader);",
        "",
    ),
    Fault(
        "signers without office count",
        "Merging.sol",
        "if (signers & ~officers != 0) revert NoOffice(signers & ~officers);",
        "",
    ),
    Fault(
        "signatures of a former view count",
        "Merging.sol",
        "if (view_ != r.view_) revert WrongView(view_, r.view_);",
        "",
    ),
    Fault(
        "a round is certified twice",
        "Merging.sol",
        "if (r.phase == Phase.CERTIFIED) revert AlreadyCertified(round); // I1",
        "if (r.phase == Phase.CERTIFIED) return r;",
    ),
    Fault(
        "who did not seal is included",
        "Merging.sol",
        "if (included & ~uint256(r.sealers) != 0) {",
        "if (false) {",
    ),
    Fault(
        "fewer are included than must be",
        "Merging.sol",
        "if (size < _policy.minIncluded) revert",
        "if (size + 1 < _policy.minIncluded) revert",
    ),
    Fault(
        "signatures are not checked",
        "Merging.sol",
        "!= _members[m].account) {",
        "== address(1)) {",
    ),
    Fault(
        "a failed leader keeps its turn",
        "Merging.sol",
        "led |= uint64(1) << leader;",
        "if (view_ == 0) led |= uint64(1) << leader;",
    ),
    Fault(
        "the merge deadline does not double",
        "Merging.sol",
        "(uint64(_policy.mergeSeconds) << view_)",
        "uint64(_policy.mergeSeconds)",
    ),
    Fault(
        "a leader is replaced one second early",
        "Merging.sol",
        "if (block.timestamp <= r.mergeDeadline) revert",
        "if (block.timestamp < r.mergeDeadline) revert",
    ),
    Fault(
        "the committee shrinks below its bound",
        "Merging.sol",
        "        if (pool.count() < bound) pool = sealers;\n",
        "",
    ),
    Fault(
        "a miss costs the seat on the committee",
        "Merging.sol",
        "        pool = sealers & ~suspended;\n",
        "        pool = sealers & ~suspended & ~benched;\n",
    ),
    Fault(
        "any number of members is benched",
        "Merging.sol",
        " || (pool & benched).count() > _faults()",
        "",
    ),
    Fault(
        "whoever opens alone makes the others miss",
        "Swarm.sol",
        "if (!ready && spoken.count() <= _faults()) {",
        "if (!ready && spoken.count() == 0) {",
    ),
    Fault(
        "a contract is a member",
        "SwarmState.sol",
        "        if (msg.sender != tx.origin) revert NotAMember(msg.sender);\n",
        "",
    ),
    Fault(
        "the bench is not cleared by the draw",
        "Merging.sol",
        "benched = r.missed;",
        "benched |= r.missed;",
    ),
    Fault(
        "a change that waits is forgotten at the certificate",
        "Merging.sol",
        "emit Certified(round, view_, uint64(included), aggregateHash, uint64(signers));\n"
        "        _enactPending();",
        "emit Certified(round, view_, uint64(included), aggregateHash, uint64(signers));",
    ),
    Fault(
        "whoever led is drawn first again",
        "Election.sol",
        "uint64 fresh = eligible & ~bag;",
        "uint64 fresh = eligible;",
    ),
    Fault(
        "the bag is never refilled",
        "Election.sol",
        "if (eligible & ~bag == 0) bag &= ~eligible;",
        "if (eligible == 0) bag = 0;",
    ),
    Fault(
        "the other form of a signature is accepted",
        "Signatures.sol",
        "if (uint256(s) > MAX_S || (v != 27 && v != 28)) return address(0);",
        "if (v != 27 && v != 28) return address(0);",
    ),
    Fault(
        "signatures hold on every chain",
        "Signatures.sol",
        "block.chainid, address(this)",
        "uint256(0), address(this)",
    ),
    # consequences
    Fault(
        "misses suspend more than f",
        "Conduct.sol",
        "suspended.count() >= _faults()",
        "suspended.count() > _faults()",
    ),
    Fault(
        "f abstentions blame the opener",
        "Conduct.sol",
        "r.abstained.count() <= r.ahead + _faults()",
        "r.abstained.count() < r.ahead + _faults()",
    ),
    Fault(
        "a stalled leader is not benched",
        "Conduct.sol",
        "        benched |= uint64(1) << member;\n",
        "",
    ),
    Fault(
        "absences are never forgiven",
        "Conduct.sol",
        "if (_members[member].absences != 0) _members[member].absences = 0;",
        "",
    ),
    # governance
    Fault(
        "half of the members decide",
        "Charter.sol",
        "uint256 required = 2 * n / 3 + 1; // G1",
        "uint256 required = n / 2 + 1; // G1",
    ),
    Fault(
        "votes of another epoch count",
        "Charter.sol",
        "if (p.epoch != epoch) revert StaleProposal(id, p.epoch); // G1, G2",
        "",
    ),
    Fault(
        "a member votes twice",
        "Charter.sol",
        "if ((p.supporters | p.opponents).has(who)) revert AlreadyVoted(id, who);",
        "if (p.supporters.has(who)) revert AlreadyVoted(id, who);",
    ),
    Fault(
        "votes count after the deadline",
        "Charter.sol",
        "if (block.timestamp > p.closes) revert ProposalExpired(id);",
        "",
    ),
    Fault(
        "an enactment does not end its epoch",
        "Charter.sol",
        "emit Enacted(id, ++epoch); // G2",
        "emit Enacted(id, epoch + 1);",
    ),
    Fault(
        "consent is not checked",
        "Charter.sol",
        "if (Signatures.signer(Signatures.consent(change), consent) != change.card.account) {",
        "if (change.card.account == address(1)) {",
    ),
    Fault(
        "expired consent is accepted",
        "Charter.sol",
        "if (block.timestamp > change.expires) revert ConsentExpired(change.expires);",
        "",
    ),
    Fault(
        "a removal forgets to void the round",
        "Charter.sol",
        "if (removes && _running()) _void(current, _rounds[current], VoidReason.MEMBER_REMOVED);",
        "if (removes && _running()) { _enact(id, p, change); return; }",
    ),
    Fault(
        "what was spent since the proposal is not looked at",
        "Charter.sol",
        "_checkCap(seats, change.policy.epsilonCap); // members may have spent since the proposal",
        "",
    ),
    Fault(
        "a removed account keeps its voice",
        "Charter.sol",
        "        emit MemberRemoved(seat, m.account, m.epsilon);\n"
        "        _indexOf[m.account] = RETIRED;",
        "        emit MemberRemoved(seat, m.account, m.epsilon);",
    ),
    Fault(
        "a seat's new member inherits the turn",
        "Charter.sol",
        "        led &= others;\n",
        "",
    ),
    Fault(
        "a seat's new member inherits an abstention",
        "Charter.sol",
        "        _rounds[current + 1].abstained &= others;\n",
        "",
    ),
    Fault(
        "a rotated account keeps its voice",
        "Charter.sol",
        "            _indexOf[m.account] = RETIRED;\n            _indexOf[card.account]",
        "            _indexOf[card.account]",
    ),
    Fault(
        "two views make an equivocation",
        "Charter.sol",
        "first.round != second.round || first.view_ != second.view_",
        "first.round != second.round",
    ),
    Fault(
        "a fault is proven twice",
        "Charter.sol",
        "        _accused[key] = true;\n",
        "",
    ),
    Fault(
        "thresholds whose sets share liars only",
        "SwarmState.sol",
        "2 * uint256(p.threshold) <= n + (n - 1) / 3",
        "2 * uint256(p.threshold) < n + (n - 1) / 3",
    ),
    Fault(
        "one encryption key for two seats",
        "SwarmState.sol",
        "if (!(rotates && m == member)) revert KeyUsed(card.encryptionKey);",
        "",
    ),
)
