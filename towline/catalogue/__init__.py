"""Reads and writes of what exists: applications, groups, configurations, instances."""
