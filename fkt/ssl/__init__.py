"""Self-supervised methods, their losses and their pretext tasks."""
