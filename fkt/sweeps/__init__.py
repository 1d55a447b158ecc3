"""Sweeps: experiments that differ in named settings, queued in DVC and gathered into tables. Trains nothing."""
