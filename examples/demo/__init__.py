"""`make demo`: the main job on this machine alone, with a real Temporal server and real web servers."""
