"""Raw data of every format to prepared arrays: read, check, resize, split."""
