// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Signatures} from "../Signatures.sol";
import {SwarmTypes} from "../SwarmTypes.sol";
import {Test} from "./Vm.sol";

/// @title A signed message is valid in one form, for one chain, contract and purpose.
contract SignaturesTest is Test {
    uint256 private constant ORDER =
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    function signer(bytes32 message, bytes calldata signature) external pure returns (address) {
        return Signatures.signer(message, signature);
    }

    function sealing(SwarmTypes.SealCall calldata call_) external view returns (bytes32) {
        return Signatures.sealing(call_);
    }

    function _key(uint256 key) private pure returns (uint256) {
        return bound(key, 1, ORDER - 1);
    }

    function testFuzz_the_signer_is_found(uint256 key, bytes32 message) public view {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(_key(key), message);
        address found = this.signer(message, abi.encodePacked(r, s, v));
        same(uint160(found), uint160(vm.addr(_key(key))), "signer");
    }

    /// @dev (r, n - s) with the other v verifies as well; it must not count as another signature.
    function testFuzz_the_other_form_is_nobodys(uint256 key, bytes32 message) public view {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(_key(key), message);
        bytes32 other = bytes32(ORDER - uint256(s));
        uint8 flipped = v == 27 ? 28 : 27;
        holds(ecrecover(message, flipped, r, other) == vm.addr(_key(key)), "it does verify");
        same(uint160(this.signer(message, abi.encodePacked(r, other, flipped))), 0, "refused");
    }

    function testFuzz_other_lengths_are_nobodys(uint256 key, bytes32 message, bytes calldata tail)
        public
        view
    {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(_key(key), message);
        if (tail.length != 0) {
            same(uint160(this.signer(message, abi.encodePacked(r, s, v, tail))), 0, "longer");
        }
        same(uint160(this.signer(message, abi.encodePacked(r, s))), 0, "shorter");
        same(uint160(this.signer(message, "")), 0, "empty");
    }

    function testFuzz_a_certificate_holds_on_one_chain(
        uint64 chain,
        uint64 round,
        uint8 view_,
        uint256 included,
        bytes32 hash
    ) public {
        SignaturesElsewhere other = new SignaturesElsewhere(); // solc takes chainid for constant
        bytes32 here = other.certificate(round, view_, included, hash);
        vm.assume(chain != 0 && chain != block.chainid);
        vm.chainId(chain);
        holds(here != other.certificate(round, view_, included, hash), "chain");
    }

    function testFuzz_a_certificate_holds_for_one_contract(uint64 round, uint8 view_, bytes32 hash)
        public
    {
        bytes32 here = Signatures.certificate(round, view_, 7, hash);
        holds(here != new SignaturesElsewhere().certificate(round, view_, 7, hash), "contract");
    }

    function testFuzz_each_purpose_has_its_own_digest(
        SwarmTypes.SealCall calldata call_,
        SwarmTypes.Card memory card
    ) public view {
        SwarmTypes.Change memory change;
        change.card = card;
        bytes32 certificate = Signatures.certificate(call_.round, 0, 7, call_.payloadHash);
        bytes32 seal_ = this.sealing(call_);
        bytes32 consent = Signatures.consent(change);
        holds(certificate != seal_ && seal_ != consent && consent != certificate, "purpose");
    }
}

/// @dev The same library under another address.
contract SignaturesElsewhere {
    function certificate(uint64 round, uint8 view_, uint256 included, bytes32 hash)
        external
        view
        returns (bytes32)
    {
        return Signatures.certificate(round, view_, included, hash);
    }
}
