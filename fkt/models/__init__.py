"""Backbones, the classifier, and how their weights are kept; knows no loss."""
