"""Settings for someone's own images, each with its reason."""
