"""The arithmetic of a rollout: order, slots, health, zones, and the verdict."""
