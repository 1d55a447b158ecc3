"""Predictions, metrics, probes, maps, statistics and the report."""
