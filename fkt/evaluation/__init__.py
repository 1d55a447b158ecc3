"""What one trained network does with images: predictions, metrics, probes, activation maps."""
