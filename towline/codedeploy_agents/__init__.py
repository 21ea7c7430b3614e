"""The hosts that poll with AWS's agent, as one API server has them: what is open there, and who has called."""
