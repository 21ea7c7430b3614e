"""YAML as people write it and as AWS's agent reads it, with the line of every value."""
