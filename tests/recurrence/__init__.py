"""The recurrences: one contract for all, arithmetic, identities, messages."""
