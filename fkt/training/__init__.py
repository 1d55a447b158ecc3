"""Objectives, optimizers and the one training loop."""
