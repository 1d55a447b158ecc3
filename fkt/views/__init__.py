"""Augmented views of prepared images by two engines, and training batches. No models and no losses."""
