"""Evaluation of one trained network: predictions, metrics, probes, clusters and activation maps."""
