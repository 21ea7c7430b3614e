"""The AppSpec of a revision: parsed as AWS's agent parses it, checked against its bundle, compiled to a plan."""
