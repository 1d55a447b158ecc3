"""What the pretext tasks do to images: tiles and their permutations, quarter turns."""
