"""Stages of the DVC pipeline side by side, and how far they are."""
