"""AWS's CodeDeploy agent as a host of towline: what it is sent and what becomes of it. Pure."""
