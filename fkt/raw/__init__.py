"""Raw formats, whatever they are, to prepared arrays: read, check, resize, split; nothing later knows them."""
