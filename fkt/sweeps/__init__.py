"""Sweeps: grids of experiments that DVC runs, and tables of their results. This room trains nothing."""
