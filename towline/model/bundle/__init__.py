"""Where a revision is, and what is in its archive."""
