"""Equal tuning: as many trials for every arm, scored on validation images. This room trains nothing itself."""
