"""What crosses between client, workflows and activities: one frozen message in and one out per activity or handler.

Down go `DeployRequest`, `ShardRequest`, `InstanceOrder`; up come `InstanceOutcome`, `ShardOutcome`. What all
instances of a deployment share (`DeploymentOrder`) and how to reach them (`FleetPage`) lie in the store, by
reference, so that a history holds them once and not per instance.
"""
