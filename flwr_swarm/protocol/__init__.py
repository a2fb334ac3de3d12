"""The round as a pure state machine: messages in, messages and ledger calls out."""
