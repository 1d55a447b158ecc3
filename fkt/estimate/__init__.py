"""How long the whole comparison takes on this machine: timed steps of each training, and what follows from them."""
