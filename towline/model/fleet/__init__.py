"""Instances: how they are declared, selected, reached and frozen for a deployment."""
