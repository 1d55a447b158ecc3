"""Side-by-side measurements against other ways of doing the same and against the machine's limit; no tests."""
