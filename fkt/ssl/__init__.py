"""Self-supervised methods behind one contract, and their losses as pure functions."""
