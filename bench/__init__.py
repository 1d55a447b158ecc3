"""Measurements of speed and of what is learned. They are not tests."""
