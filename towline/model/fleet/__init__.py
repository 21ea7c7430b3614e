"""Instances: declaration, selection, access, and the frozen fleet of a deployment."""
