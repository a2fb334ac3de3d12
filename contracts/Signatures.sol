// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title EIP-712 digests of certificates, and who signed them.
library Signatures {
    bytes32 private constant DOMAIN_TYPE = keccak256(
        "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    );
    bytes32 private constant CERTIFICATE_TYPE =
        keccak256("Certificate(uint64 round,uint8 view,uint256 included,bytes32 aggregateHash)");
    /// @dev Half the order of secp256k1: above it lies the other form of the same signature.
    uint256 private constant MAX_S =
        0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;

    /// @notice What a committee member signs; valid for one chain, contract, round and view.
    function digest(uint64 round, uint8 view_, uint256 included, bytes32 aggregateHash)
        internal
        view
        returns (bytes32)
    {
        bytes32 domain = keccak256(
            abi.encode(
                DOMAIN_TYPE, keccak256("flwr_swarm"), keccak256("1"), block.chainid, address(this)
            )
        );
        bytes32 certificate =
            keccak256(abi.encode(CERTIFICATE_TYPE, round, view_, included, aggregateHash));
        return keccak256(abi.encodePacked(hex"1901", domain, certificate));
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
}
