"""The ledger: contract, development chain, member's client, signatures, and history as evidence.

Import from the modules: `client` (ChainLedger, ReadOnlyLedger), `deploy`, `embedded`
(EmbeddedChain), `server` (ChainServer), `signing`, `history`, `replay`. The engine behind
`embedded` is slow to import and only whoever runs the development chain needs it.
"""
