"""Deploying behind HAProxy without a failed request: docs/zero-downtime.md walks through it."""
