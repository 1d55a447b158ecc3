"""Backbones, heads and how their weights are kept; knows no loss."""
