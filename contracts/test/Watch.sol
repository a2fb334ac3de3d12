// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SwarmTypes} from "../SwarmTypes.sol";
import {Consortium} from "./Consortium.sol";

/// @title What must hold between any two states of a swarm: a model of its own, updated by looking.
/// @dev `watched` runs after every action; a promise once broken stays broken and is named.
abstract contract Watch is Consortium {
    enum Promise {
        ROUNDS_GROW_BY_ONE,
        PAST_ROUNDS_STAY,
        ONE_CERTIFICATE,
        CERTIFIED_ARE_SEALERS,
        ONE_PARENT,
        EPSILON_NEVER_FALLS,
        EPSILON_WITHIN_CAP,
        COMMITTEE_BOUND,
        OFFICERS_SEALED,
        LED_ONCE_A_BAG,
        EPOCH_GROWS_BY_ONE,
        VOTES_OF_ONE_EPOCH,
        ENACTED_BY_TWO_THIRDS,
        ROUND_KEEPS_ITS_MEMBERS,
        SEATS_AND_ACCOUNTS,
        REFUSED
    }

    bool[16] public broken;
    /// @dev How often the campaign got somewhere; without it the promises would be empty.
    uint256 public certified;
    uint256 public voided;
    uint256 public views;
    uint256 public enacted;
    uint256 public relayed;
    uint256 public lates;
    uint256 public refusals;
    uint256[6] public kinds;

    struct Seen {
        uint64 current;
        uint64 epoch;
        uint64 taken;
        bool running;
        bytes32 past;
    }

    Seen private _seen;
    uint64 private _bag; // members who have led, as this model counts
    uint64 private _drawn; // newest round whose draw was seen
    uint8 private _view;
    mapping(uint64 round => bytes32 certificate) private _certificates;
    mapping(address account => uint64 epsilon) private _spent;
    mapping(uint64 round => mapping(uint8 member => bytes32)) internal _parents;
    mapping(uint64 id => uint64 seats) internal _for;
    mapping(uint64 id => uint64 seats) internal _against;
    mapping(uint64 id => uint64 epoch) internal _epochOf;

    modifier watched() {
        _before();
        _;
        _after();
    }

    function _promise(Promise what, bool kept) internal {
        if (!kept) broken[uint8(what)] = true;
    }

    function _isRunning(SwarmTypes.Phase phase) internal pure returns (bool) {
        return phase == SwarmTypes.Phase.SEALING || phase == SwarmTypes.Phase.MERGING;
    }

    function _past(uint64 round) private view returns (bytes32) {
        return round == 0 ? bytes32(0) : keccak256(abi.encode(swarm.roundAt(round - 1)));
    }

    function _before() private {
        uint64 round = swarm.current();
        _seen = Seen(round, swarm.epoch(), swarm.taken(), _isRunning(_round().phase), _past(round));
    }

    function _after() private {
        uint64 round = swarm.current();
        SwarmTypes.Round memory r = _round();
        _promise(Promise.ROUNDS_GROW_BY_ONE, round == _seen.current || round == _seen.current + 1);
        _promise(Promise.PAST_ROUNDS_STAY, _past(_seen.current) == _seen.past);
        if (round != _seen.current) {
            SwarmTypes.Phase left = swarm.roundAt(_seen.current).round.phase;
            _promise(Promise.PAST_ROUNDS_STAY, !_isRunning(left));
            _promise(Promise.PAST_ROUNDS_STAY, r.base == _lastCertifiedBefore(round));
        }
        _checkSpending();
        _checkSeals(round, r);
        if (r.phase == SwarmTypes.Phase.MERGING) _checkOffices(round, r);
        _checkCertificate(round, r);
        _checkGovernance(r);
    }

    /// @dev The newest certified round below `round`, looked up and not remembered.
    function _lastCertifiedBefore(uint64 round) private view returns (uint64) {
        while (round > 1) {
            --round;
            if (_certificates[round] != 0) return round;
        }
        return 0;
    }

    function _checkSpending() private {
        SwarmTypes.Member[] memory seats = _seats();
        uint64 cap = _policy().epsilonCap;
        for (uint256 m; m < seats.length; ++m) {
            SwarmTypes.Member memory seat = seats[m];
            _promise(
                Promise.SEATS_AND_ACCOUNTS, _has(swarm.taken(), m) == (seat.account != address(0))
            );
            if (seat.account == address(0)) continue;
            _promise(Promise.EPSILON_NEVER_FALLS, seat.epsilon >= _spent[seat.account]);
            _promise(Promise.EPSILON_WITHIN_CAP, seat.epsilon <= cap);
            _spent[seat.account] = seat.epsilon;
            for (uint256 k; k < m; ++k) {
                _promise(Promise.SEATS_AND_ACCOUNTS, seats[k].account != seat.account);
                _promise(Promise.SEATS_AND_ACCOUNTS, seats[k].encryptionKey != seat.encryptionKey);
            }
        }
        _promise(
            Promise.SEATS_AND_ACCOUNTS,
            (swarm.suspended() | swarm.led() | swarm.benched()) & ~swarm.taken() == 0
        );
    }

    function _checkSeals(uint64 round, SwarmTypes.Round memory r) private {
        for (uint8 m; m < 64; ++m) {
            if (!_has(r.sealers, m)) continue;
            _promise(Promise.ONE_PARENT, _parents[round][m] == r.parent);
        }
        _promise(
            Promise.OFFICERS_SEALED,
            r.sealers & r.abstained == 0 && (r.sealers | r.abstained) & r.late == 0
        );
    }

    function _checkOffices(uint64 round, SwarmTypes.Round memory r) private {
        uint64 officers = _setOf(r.succession);
        uint64 committee = _setOf(r.committee);
        _promise(Promise.OFFICERS_SEALED, officers & ~r.sealers == 0 && committee & ~r.sealers == 0);
        SwarmTypes.Policy memory p = _policy();
        uint256 least = p.minIncluded < p.maxCommittee ? p.minIncluded : p.maxCommittee;
        uint256 size = _count(committee);
        _promise(
            Promise.COMMITTEE_BOUND,
            size == r.committee.length && size >= least && size <= p.maxCommittee
        );
        if (_drawn == round && _view == r.view_) return;
        bool first = _drawn != round;
        _promise(Promise.LED_ONCE_A_BAG, r.view_ == (first ? 0 : _view + 1));
        if (first && officers & ~_bag == 0) _bag &= ~officers; // refilled for those present
        (_drawn, _view) = (round, r.view_);
        uint8 leader = uint8(r.succession[r.view_]);
        // With a turn behind it, a member leads only after every fresh officer had one.
        _promise(Promise.LED_ONCE_A_BAG, !_has(_bag, leader) || officers & ~_bag == 0);
        _bag |= uint64(1) << leader;
        _promise(Promise.LED_ONCE_A_BAG, swarm.led() == _bag);
        if (!first) ++views;
    }

    function _checkCertificate(uint64 round, SwarmTypes.Round memory r) private {
        bytes32 now_ = r.phase == SwarmTypes.Phase.CERTIFIED
            ? keccak256(abi.encode(r.included, r.aggregateHash))
            : bytes32(0);
        if (_certificates[round] != 0) {
            _promise(Promise.ONE_CERTIFICATE, now_ == _certificates[round]);
        } else if (now_ != 0) {
            _certificates[round] = now_;
            ++certified;
            _promise(Promise.CERTIFIED_ARE_SEALERS, r.included & ~r.sealers == 0);
            if (_epochIs(_seen.epoch)) {
                _promise(Promise.CERTIFIED_ARE_SEALERS, _count(r.included) >= _policy().minIncluded);
            }
        }
        if (_seen.running && r.phase == SwarmTypes.Phase.VOID) ++voided;
    }

    function _epochIs(uint64 epoch) private view returns (bool) {
        return swarm.epoch() == epoch;
    }

    function _checkGovernance(SwarmTypes.Round memory r) private {
        uint64 epoch = swarm.epoch();
        bool grown = epoch == _seen.epoch + 1;
        _promise(Promise.EPOCH_GROWS_BY_ONE, grown || epoch == _seen.epoch);
        uint256 newly;
        for (uint64 id = swarm.proposals(); id != 0; --id) {
            SwarmTypes.Proposal memory p = swarm.proposalAt(id);
            if (p.epoch + 1 < _seen.epoch) break; // older epochs were checked while they ruled
            _promise(Promise.VOTES_OF_ONE_EPOCH, p.epoch == _epochOf[id]);
            _promise(
                Promise.VOTES_OF_ONE_EPOCH, p.supporters == _for[id] && p.opponents == _against[id]
            );
            if (p.status != SwarmTypes.Status.ENACTED || p.epoch != _seen.epoch) continue;
            ++newly;
            uint256 required = 2 * _count(_seen.taken) / 3 + 1;
            _promise(Promise.ENACTED_BY_TWO_THIRDS, _count(p.supporters) >= required);
            _promise(Promise.ENACTED_BY_TWO_THIRDS, p.supporters & ~_seen.taken == 0);
            ++kinds[uint8(abi.decode(p.change, (SwarmTypes.Change)).kind)];
        }
        _promise(Promise.EPOCH_GROWS_BY_ONE, newly == (grown ? 1 : 0));
        if (grown) ++enacted;
        if (swarm.taken() != _seen.taken) {
            _promise(Promise.ROUND_KEEPS_ITS_MEMBERS, grown && !_isRunning(r.phase));
            _bag &= swarm.taken(); // a seat's new member has had no turn
        }
        if (_seen.running && _isRunning(r.phase)) {
            _promise(Promise.ROUND_KEEPS_ITS_MEMBERS, !grown);
        }
        if (!_isRunning(r.phase)) _promise(Promise.ROUND_KEEPS_ITS_MEMBERS, swarm.pending() == 0);
    }
}
