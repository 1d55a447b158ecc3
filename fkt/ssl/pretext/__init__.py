"""Image operations of the pretext tasks: rotations, tiles and puzzles."""
