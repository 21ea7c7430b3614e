"""The location of a revision and the contents of its archive."""
