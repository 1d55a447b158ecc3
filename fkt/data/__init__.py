"""Prepared images: arrays on disk and on the device, normalization, and keyed randomness."""
