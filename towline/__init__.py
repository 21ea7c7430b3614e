"""towline: what AWS CodeDeploy does, self-hosted, with each deployment a durable Temporal workflow."""

__version__ = "0.1.0"
