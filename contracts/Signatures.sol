// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SwarmTypes} from "./SwarmTypes.sol";

/// @title EIP-712 digests of what members sign, and who signed it.
/// @notice Each is valid for one chain, one contract and one purpose.
library Signatures {
    bytes32 private constant DOMAIN_TYPE = keccak256(
        "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    );
    bytes32 private constant CERTIFICATE_TYPE =
        keccak256("Certificate(uint64 round,uint8 view,uint256 included,bytes32 aggregateHash)");
    bytes32 private constant SEAL_TYPE = keccak256(
        "Seal(uint64 round,bytes32 parent,bytes32 payloadHash,bytes32 sharesHash,bytes32 reveal,bytes32 commitment,uint64 epsilon,bool verified)"
    );
    bytes32 private constant CONSENT_TYPE = keccak256(
        "Consent(uint8 seat,address account,bytes32 encryptionKey,bytes32 commitment,bytes32 tlsHash,string endpoint,uint64 epsilon,uint8 weightClass,uint64 expires)"
    );
    /// @dev Half the order of secp256k1: above it lies the other form of the same signature.
    uint256 private constant MAX_S =
        0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;

    /// @notice What a committee member signs about a merge, in one round and view.
    function certificate(uint64 round, uint8 view_, uint256 included, bytes32 aggregateHash)
        internal
        view
        returns (bytes32)
    {
        return
            _digest(keccak256(abi.encode(CERTIFICATE_TYPE, round, view_, included, aggregateHash)));
    }

    /// @notice What a member signs whose seal another member carries.
    function sealing(SwarmTypes.SealCall calldata call_) internal view returns (bytes32) {
        return _digest(keccak256(abi.encode(SEAL_TYPE, call_))); // all fields are words
    }

    /// @notice What an applicant signs, or a member whose keys rotate: who it is, for one seat.
    function consent(SwarmTypes.Change memory change) internal view returns (bytes32) {
        SwarmTypes.Card memory card = change.card;
        return _digest(
            keccak256(
                abi.encode(
                    CONSENT_TYPE,
                    change.seat,
                    card.account,
                    card.encryptionKey,
                    card.commitment,
                    card.tlsHash,
                    keccak256(bytes(card.endpoint)),
                    card.epsilon,
                    card.weightClass,
                    change.expires
                )
            )
        );
    }

    /// @notice Signer of `message`, or the zero address if the signature is malformed.
    function signer(bytes32 message, bytes calldata signature) internal pure returns (address) {
        if (signature.length != 65) return address(0);
        bytes32 r = bytes32(signature[0:32]);
        bytes32 s = bytes32(signature[32:64]);
        uint8 v = uint8(signature[64]);
        if (uint256(s) > MAX_S || (v != 27 && v != 28)) return address(0);
        return ecrecover(message, v, r, s);
    }

    function _digest(bytes32 content) private view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                DOMAIN_TYPE, keccak256("flwr_swarm"), keccak256("1"), block.chainid, address(this)
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, content));
    }
}
