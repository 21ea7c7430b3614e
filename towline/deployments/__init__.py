"""Services for deployments: start, find, list, watch, control and roll back, used by the command line and the API."""
