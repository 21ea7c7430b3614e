"""Hosts that poll with towline's agent: how they sign in, and what passes between them and an API server."""
