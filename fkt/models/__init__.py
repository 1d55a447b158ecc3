"""Backbones, the classifier and stored models. Contains no loss."""
