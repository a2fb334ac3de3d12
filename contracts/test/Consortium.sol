// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SwarmTypes} from "../SwarmTypes.sol";
import {Surface} from "./Surface.sol";
import {Test} from "./Vm.sol";

/// @title A swarm with its members' keys, and shorthand for what members do.
/// @dev The EIP-712 digests are computed here from their text, not by the library under test.
abstract contract Consortium is Test {
    bytes32 internal constant MODEL = keccak256("model");
    uint8 internal constant NONE = 255;

    Surface public swarm;
    mapping(address account => uint256 key) internal keyOf;

    // --- founding ---------------------------------------------------------------------------

    function _found(uint256 n, SwarmTypes.Policy memory policy) internal {
        address place = vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
        SwarmTypes.Card[] memory cards = new SwarmTypes.Card[](n);
        for (uint256 i; i < n; ++i) {
            cards[i] = _card(i, place);
        }
        // By name and not by import, so that another Swarm compiles no test again.
        bytes memory code = bytes.concat(vm.getCode("Swarm.sol:Swarm"), abi.encode(cards, policy));
        address made;
        assembly {
            made := create(0, add(code, 0x20), mload(code))
        }
        swarm = Surface(made);
        same(uint160(address(swarm)), uint160(place), "address foreseen");
    }

    /// @dev The card of the `i`-th site there is; sites are more than members.
    function _card(uint256 i, address place) internal returns (SwarmTypes.Card memory card) {
        uint256 key = 0xC0FFEE + i;
        card.account = vm.addr(key);
        keyOf[card.account] = key;
        card.encryptionKey = keccak256(abi.encode("encryption", i));
        card.commitment = _commitment(place, card.account, 0);
        card.tlsHash = keccak256(abi.encode("tls", i));
        card.endpoint = "https://site.example";
    }

    function _usual(uint256 n) internal pure returns (SwarmTypes.Policy memory p) {
        p.threshold = uint8((n + (n - 1) / 3) / 2 + 1);
        p.minIncluded = uint8(n < 3 ? n : 3);
        p.maxCommittee = 7;
        p.closeAt = uint8(n);
        p.fixedLeader = NONE;
        p.maxViews = 3;
        p.maxMisses = 3;
        p.relaying = true;
        (p.sealSeconds, p.mergeSeconds, p.voteSeconds) = (600, 60, 86_400);
        p.epsilonCap = 1_000_000;
        p.terms = keccak256("terms");
    }

    // --- reading ----------------------------------------------------------------------------

    function _policy() internal view returns (SwarmTypes.Policy memory p) {
        (,,,, p,,,) = swarm.look();
    }

    function _seats() internal view returns (SwarmTypes.Member[] memory seats) {
        (,,,,, seats,,) = swarm.look();
    }

    function _round() internal view returns (SwarmTypes.Round memory) {
        return swarm.roundAt(swarm.current()).round;
    }

    /// @dev Everything that can be read but the clock, as one hash.
    function _state() internal view returns (bytes32) {
        (
            ,
            uint64 epoch,
            uint64 pending,
            uint64 suspended,
            SwarmTypes.Policy memory policy,
            SwarmTypes.Member[] memory seats,
            SwarmTypes.RoundSeen memory newest,
        ) = swarm.look();
        bytes32 first = keccak256(abi.encode(epoch, pending, suspended, policy, seats, newest));
        uint64 ids = swarm.proposals();
        return keccak256(
            abi.encode(
                first,
                swarm.led(),
                swarm.benched(),
                swarm.beacon(),
                swarm.roundAt(swarm.current() + 1),
                swarm.proposalAt(ids),
                swarm.proposalAt(ids + 1),
                swarm.endpoints()
            )
        );
    }

    function _has(uint256 set, uint256 member) internal pure returns (bool) {
        return member < 64 && (set >> member) & 1 == 1;
    }

    function _count(uint256 set) internal pure returns (uint256 members) {
        for (; set != 0; set >>= 1) {
            members += set & 1;
        }
    }

    function _setOf(bytes memory list) internal pure returns (uint64 set) {
        for (uint256 i; i < list.length; ++i) {
            set |= uint64(1) << uint8(list[i]);
        }
    }

    /// @dev The `pick`-th member of a set that is not empty.
    function _pick(uint64 set, uint256 pick) internal pure returns (uint8 member) {
        pick %= _count(set);
        for (;; ++member) {
            if (!_has(set, member)) continue;
            if (pick == 0) return member;
            --pick;
        }
    }

    // --- sealing ----------------------------------------------------------------------------

    function _secret(address account, uint32 k) internal view returns (bytes32) {
        return keccak256(abi.encode("secret", keyOf[account], k));
    }

    function _commitment(address place, address account, uint32 k) internal view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, place, account, _secret(account, k)));
    }

    function _sealCall(uint8 seat, uint64 round)
        internal
        view
        returns (SwarmTypes.SealCall memory call_)
    {
        SwarmTypes.Member memory m = _seats()[seat];
        call_.round = round;
        call_.parent = MODEL;
        call_.payloadHash = keccak256(abi.encode("payload", round, seat));
        call_.sharesHash = keccak256(abi.encode("shares", round, seat));
        call_.reveal = _secret(m.account, m.reveals);
        call_.commitment = _commitment(address(swarm), m.account, m.reveals + 1);
        call_.epsilon = m.epsilon;
        call_.verified = true;
    }

    function _account(uint8 seat) internal view returns (address) {
        return _seats()[seat].account;
    }

    function _seal(uint8 seat, uint64 round) internal {
        SwarmTypes.SealCall memory call_ = _sealCall(seat, round);
        _as(_account(seat));
        swarm.seal(call_);
    }

    function _sealAll(uint64 seats, uint64 round) internal {
        for (uint8 m; m < 64; ++m) {
            if (_has(seats, m)) _seal(m, round);
        }
    }

    // --- signing ----------------------------------------------------------------------------

    function _digest(address place, bytes32 content) internal view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("flwr_swarm"),
                keccak256("1"),
                block.chainid,
                place
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, content));
    }

    function _certificateDigest(uint64 round, uint8 view_, uint256 included, bytes32 hash)
        internal
        view
        returns (bytes32)
    {
        bytes32 kind = keccak256(
            "Certificate(uint64 round,uint8 view,uint256 included,bytes32 aggregateHash)"
        );
        return _digest(address(swarm), keccak256(abi.encode(kind, round, view_, included, hash)));
    }

    function _sealDigest(SwarmTypes.SealCall memory c) internal view returns (bytes32) {
        bytes32 kind = keccak256(
            "Seal(uint64 round,bytes32 parent,bytes32 payloadHash,bytes32 sharesHash,bytes32 reveal,bytes32 commitment,uint64 epsilon,bool verified)"
        );
        bytes memory head = abi.encode(kind, c.round, c.parent, c.payloadHash, c.sharesHash);
        bytes memory tail = abi.encode(c.reveal, c.commitment, c.epsilon, c.verified);
        return _digest(address(swarm), keccak256(bytes.concat(head, tail)));
    }

    function _consentDigest(SwarmTypes.Change memory change) internal view returns (bytes32) {
        SwarmTypes.Card memory c = change.card;
        bytes32 kind = keccak256(
            "Consent(uint8 seat,address account,bytes32 encryptionKey,bytes32 commitment,bytes32 tlsHash,string endpoint,uint64 epsilon,uint8 weightClass,uint64 expires)"
        );
        bytes memory head =
            abi.encode(kind, change.seat, c.account, c.encryptionKey, c.commitment, c.tlsHash);
        bytes memory tail =
            abi.encode(keccak256(bytes(c.endpoint)), c.epsilon, c.weightClass, change.expires);
        return _digest(address(swarm), keccak256(bytes.concat(head, tail)));
    }

    function _sign(address account, bytes32 digest) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keyOf[account], digest);
        return abi.encodePacked(r, s, v);
    }

    /// @dev Signatures of `signers` over one certificate, in ascending order of member.
    function _signatures(uint64 signers, uint64 round, uint8 view_, uint256 included, bytes32 hash)
        internal
        view
        returns (bytes[] memory list)
    {
        bytes32 digest = _certificateDigest(round, view_, included, hash);
        SwarmTypes.Member[] memory seats = _seats();
        list = new bytes[](_count(signers));
        uint256 slot;
        for (uint8 m; m < 64; ++m) {
            if (_has(signers, m)) list[slot++] = _sign(seats[m].account, digest);
        }
    }

    function _officers(SwarmTypes.Round memory r) internal pure returns (uint64) {
        return _setOf(r.committee) | (uint64(1) << uint8(r.succession[r.view_]));
    }

    /// @dev The running round's certificate over all sealers, signed by all officers.
    function _certify(uint8 sender) internal {
        uint64 round = swarm.current();
        SwarmTypes.Round memory r = _round();
        uint64 signers = _officers(r);
        bytes32 hash = keccak256(abi.encode("sum", round));
        bytes[] memory list = _signatures(signers, round, r.view_, r.sealers, hash);
        _as(_account(sender));
        swarm.certify(round, r.view_, r.sealers, hash, signers, list);
    }

    /// @dev The call is refused with this very error, and nothing changes.
    function _refuses(address sender, bytes memory data, bytes memory error_) internal {
        bytes32 before = _state();
        _as(sender);
        (bool done, bytes memory answer) = address(swarm).call(data);
        holds(!done, "was accepted");
        same(uint256(keccak256(answer)), uint256(keccak256(error_)), "refused by another name");
        holds(_state() == before, "changed something");
    }

    // --- governance -------------------------------------------------------------------------

    /// @dev A change of `kind` with today's policy, made to fit `n` members.
    function _change(SwarmTypes.Kind kind, uint8 seat, uint256 n)
        internal
        view
        returns (SwarmTypes.Change memory change)
    {
        change.kind = kind;
        change.seat = seat;
        change.policy = _policy();
        change.policy.threshold = uint8((n + (n - 1) / 3) / 2 + 1);
        if (change.policy.minIncluded > n) change.policy.minIncluded = uint8(n);
    }

    function _propose(uint8 sender, SwarmTypes.Change memory change) internal returns (uint64) {
        bytes memory consent;
        if (change.card.account != address(0)) {
            consent = _sign(change.card.account, _consentDigest(change));
        }
        _as(_account(sender));
        return swarm.propose(change, consent);
    }

    function _vote(uint8 sender, uint64 id, bool support) internal {
        _as(_account(sender));
        swarm.vote(id, support);
    }
}
