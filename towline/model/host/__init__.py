"""What is sent to a host's runner, and what its events add up to."""
