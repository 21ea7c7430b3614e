"""Applications, deployment groups and deployment configurations, and a group's queue of deployments."""
