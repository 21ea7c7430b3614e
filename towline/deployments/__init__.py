"""What every door does with deployments: start, find, watch, list, and read what is recorded."""
