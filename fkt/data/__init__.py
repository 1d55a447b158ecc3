"""Prepared images: the arrays on disk and on the device, their normalization, and keyed randomness."""
