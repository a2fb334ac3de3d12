// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Charter} from "../Charter.sol";
import {Election} from "../Election.sol";
import {Signatures} from "../Signatures.sol";
import {Swarm} from "../Swarm.sol";
import {SwarmTypes} from "../SwarmTypes.sol";
import {Consortium} from "../test/Consortium.sol";
import {Surface} from "../test/Surface.sol";

interface SVM {
    function enableSymbolicStorage(address target) external;
}

/// @title What halmos proves, for all arguments within its bounds.
contract QuorumProofs {
    using Election for uint64;

    /// @dev All sizes that a committee or a swarm can have.
    function check_two_quorums_share_an_honest_member(uint256 size) public pure {
        if (size == 0 || size > 64) return;
        uint256 q = Election.quorum(size);
        uint256 faulty = (size - 1) / 3;
        assert(q <= size - faulty); // reachable without the faulty
        assert(2 * q >= size + faulty + 1); // |A and B| >= |A| + |B| - size > faulty
    }

    /// @dev The same by counting members, for every committee up to 7 and every two sets of it.
    function check_quorums_as_sets_intersect(uint8 size, uint64 a, uint64 b) public pure {
        if (size == 0 || size > 7) return;
        uint64 everyone = (uint64(1) << size) - 1;
        if ((a | b) & ~everyone != 0) return;
        uint256 q = Election.quorum(size);
        if (_members(a) < q || _members(b) < q) return;
        assert(_members(a & b) > (size - 1) / 3);
    }

    /// @dev A member that votes, signs or shares is in a set only as itself.
    function check_has_is_one_bit(uint64 set, uint8 member) public pure {
        if (member >= 64) assert(!set.has(member));
        else assert(set.has(member) == (set & (uint64(1) << member) != 0));
    }

    function _members(uint64 set) private pure returns (uint256 n) {
        for (uint256 i; i < 8; ++i) {
            n += (set >> i) & 1;
        }
    }
}

/// @dev Signed messages: no second form, no second purpose, round, view or set.
contract SignatureProofs {
    uint256 private constant HALF =
        0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;

    function signer(bytes32 message, bytes calldata signature) external pure returns (address) {
        return Signatures.signer(message, signature);
    }

    function sealing(SwarmTypes.SealCall calldata call_) external view returns (bytes32) {
        return Signatures.sealing(call_);
    }

    function check_only_one_form_of_a_signature(bytes32 message, bytes32 r, bytes32 s, uint8 v)
        public
        view
    {
        if (uint256(s) <= HALF && (v == 27 || v == 28)) return;
        assert(this.signer(message, abi.encodePacked(r, s, v)) == address(0));
    }

    function check_certificates_of_different_content_differ(
        uint64 round,
        uint8 view_,
        uint256 included,
        bytes32 hash,
        uint64 round2,
        uint8 view2,
        uint256 included2,
        bytes32 hash2
    ) public view {
        if (round == round2 && view_ == view2 && included == included2 && hash == hash2) return;
        bytes32 one = Signatures.certificate(round, view_, included, hash);
        assert(one != Signatures.certificate(round2, view2, included2, hash2));
    }

    function check_a_seal_is_no_certificate(
        SwarmTypes.SealCall calldata call_,
        uint64 round,
        uint8 view_,
        uint256 included,
        bytes32 hash
    ) public view {
        assert(Signatures.certificate(round, view_, included, hash) != this.sealing(call_));
    }
}

/// @dev What a proof needs to know of a swarm whose storage is unknown.
contract Open is Swarm {
    constructor(Card[] memory genesis, Policy memory policy_) Swarm(genesis, policy_) {}

    function seated(address who) external view returns (bool) {
        return _indexOf[who] != 0 && _indexOf[who] != RETIRED;
    }
}

/// @dev Whoever has no seat: no call changes anything, whatever its arguments and the state.
contract OutsiderProofs is Consortium {
    SVM private constant svm = SVM(address(uint160(uint256(keccak256("svm cheat code")))));

    /// @dev halmos gives new contracts addresses of its own, so the charter is put in its place.
    function setUp() public {
        SwarmTypes.Card[] memory cards = new SwarmTypes.Card[](4);
        for (uint256 i; i < 4; ++i) {
            cards[i] = _card(i, address(1));
        }
        Open deployed = new Open(cards, _usual(4));
        vm.etch(deployed.charter(), address(new Charter()).code);
        swarm = Surface(address(deployed));
        same(swarm.endpoints().length, 4, "the charter answers");
        svm.enableSymbolicStorage(address(deployed)); // any state, reached or not
    }

    function _fails(address who, bytes memory data) private {
        if (Open(address(swarm)).seated(who)) return;
        if (who == address(swarm)) return; // no key belongs to a contract
        _as(who);
        (bool done,) = address(swarm).call(data);
        assert(!done);
    }

    function check_no_outsider_abstains(address who, uint64 round) public {
        _fails(who, abi.encodeCall(Surface.abstain, (round)));
    }

    function check_no_outsider_is_late(address who, uint64 round, uint64 epsilon) public {
        _fails(who, abi.encodeCall(Surface.late, (round, epsilon)));
    }

    function check_no_outsider_closes(address who, uint64 round) public {
        _fails(who, abi.encodeCall(Surface.close, (round)));
    }

    function check_no_outsider_advances(address who, uint64 round, uint8 view_) public {
        _fails(who, abi.encodeCall(Surface.advance, (round, view_)));
    }

    function check_no_outsider_votes(address who, uint64 id, bool support) public {
        _fails(who, abi.encodeCall(Surface.vote, (id, support)));
    }

    function check_no_outsider_seals(address who, SwarmTypes.SealCall calldata call_) public {
        _fails(who, abi.encodeCall(Surface.seal, (call_)));
    }

    function check_no_outsider_carries(
        address who,
        SwarmTypes.SealCall calldata call_,
        bytes calldata signature
    ) public {
        _fails(who, abi.encodeCall(Surface.sealSigned, (call_, signature)));
    }

    function check_no_outsider_carries_many(
        address who,
        SwarmTypes.SealCall[] calldata calls,
        bytes[] calldata signatures
    ) public {
        _fails(who, abi.encodeCall(Surface.sealBatch, (calls, signatures)));
    }

    function check_no_outsider_certifies(
        address who,
        uint64 round,
        uint8 view_,
        uint256 included,
        bytes32 hash,
        uint256 signers,
        bytes[] calldata list
    ) public {
        _fails(who, abi.encodeCall(Surface.certify, (round, view_, included, hash, signers, list)));
    }

    function check_no_outsider_proposes(
        address who,
        SwarmTypes.Change calldata change,
        bytes calldata consent
    ) public {
        if (uint8(change.kind) > 5) return;
        _fails(who, abi.encodeCall(Surface.propose, (change, consent)));
    }

    function check_no_outsider_accuses(
        address who,
        uint8 member,
        SwarmTypes.Statement calldata first,
        SwarmTypes.Statement calldata second
    ) public {
        _fails(who, abi.encodeCall(Surface.accuse, (member, first, second)));
    }
}
