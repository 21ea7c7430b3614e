"""A deployment group's load balancers, blue/green configuration and Auto Scaling options, in CodeDeploy's shapes."""

from __future__ import annotations

from typing import Annotated, Literal

from towline.model.base import Absent, ApiShape


class Named(ApiShape):
    """A Classic Load Balancer, a target group, or an alarm, by its name."""

    name: str = ""


class TrafficRoute(ApiShape):
    """The listeners of a target group pair."""

    listener_arns: Annotated[tuple[str, ...], Absent] = ()


class TargetGroupPair(ApiShape):
    """Two target groups and their listeners: for ECS, and accepted by CodeDeploy for servers too."""

    target_groups: Annotated[tuple[Named, ...], Absent] = ()
    prod_traffic_route: Annotated[TrafficRoute | None, Absent] = None
    test_traffic_route: Annotated[TrafficRoute | None, Absent] = None


class LoadBalancerInfo(ApiShape):
    """The load balancers and target groups that instances are registered with."""

    elb_info_list: Annotated[tuple[Named, ...], Absent] = ()
    target_group_info_list: Annotated[tuple[Named, ...], Absent] = ()
    target_group_pair_info_list: Annotated[tuple[TargetGroupPair, ...], Absent] = ()


class BlueInstanceTermination(ApiShape):
    """What becomes of the original instances of a blue/green deployment that succeeded."""

    action: Annotated[Literal["TERMINATE", "KEEP_ALIVE"] | None, Absent] = None
    termination_wait_time_in_minutes: Annotated[int | None, Absent] = None


class DeploymentReady(ApiShape):
    """When traffic is sent to the new instances of a blue/green deployment."""

    action_on_timeout: Annotated[Literal["CONTINUE_DEPLOYMENT", "STOP_DEPLOYMENT"] | None, Absent] = None
    wait_time_in_minutes: Annotated[int | None, Absent] = None


class GreenFleetProvisioning(ApiShape):
    """Where the new instances of a blue/green deployment come from."""

    action: Annotated[Literal["DISCOVER_EXISTING", "COPY_AUTO_SCALING_GROUP"] | None, Absent] = None


class BlueGreenDeploymentConfiguration(ApiShape):
    """How a blue/green deployment goes."""

    terminate_blue_instances_on_deployment_success: Annotated[BlueInstanceTermination | None, Absent] = None
    deployment_ready_option: Annotated[DeploymentReady | None, Absent] = None
    green_fleet_provisioning_option: Annotated[GreenFleetProvisioning | None, Absent] = None


class Ec2DeploymentOptions(ApiShape):
    """The processes of Auto Scaling groups that are suspended during an in-place deployment."""

    auto_scaling_group_processes_to_suspend: tuple[
        Literal["Terminate", "AZRebalance", "InstanceRefresh", "ScheduledActions"], ...
    ] = ()
