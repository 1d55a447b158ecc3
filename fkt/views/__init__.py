"""Augmented views of prepared images, by two engines, and the batches made of them; knows no model and no loss."""
