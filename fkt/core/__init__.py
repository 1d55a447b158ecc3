"""The ground that every room stands on: runs and their paths, errors, hardware."""
