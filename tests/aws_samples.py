"""A platform on AWS, as its operator would describe it."""

from typing import Any, Final

from services.provisioner.domain import AwsPlatform, Platform

ACCOUNT: Final = "123456789012"
AWS: Final = AwsPlatform(
    region="eu-central-1",
    account_id=ACCOUNT,
    vpc_id="vpc-0a1b2c3d",
    vpc_cidr_block="10.20.0.0/16",
    availability_zones=("eu-central-1a", "eu-central-1b"),
    cluster_name="shared",
    cluster_security_group_id="sg-0a1b2c3d",
    oidc_provider_arn=f"arn:aws:iam::{ACCOUNT}:oidc-provider/oidc.eks.eu-central-1.example.test/id/A1",
    oidc_issuer="https://oidc.eks.eu-central-1.example.test/id/A1",
    zone_id="Z0123456789ABC",
    load_balancer_zone_id="Z0123456789LB",
    load_balancer_cidr_blocks=("10.20.0.0/20", "10.20.16.0/20"),
    certificate_arn=f"arn:aws:acm:eu-central-1:{ACCOUNT}:certificate/1",
    subnet_cidr_block="10.20.128.0/17",
    alarm_topic_arn=f"arn:aws:sns:eu-central-1:{ACCOUNT}:alarms",
    portal_url="https://slipway.example.test",
    tags={"cost-center": "platform"},
)
PLATFORM: Final = Platform(
    zone="apps.example.test",
    ingress_address="shared-1.elb.example.test",
    ingress_port=443,
    database_host="shared.db.example.test",
    database_port=5432,
    database_name="apps",
    forge_url="https://forge.example.test",
    state_bucket="slipway-state",
    aws=AWS,
)
SERVICE_MONITORS: Final[dict[str, Any]] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "servicemonitors.monitoring.coreos.com"},
    "spec": {
        "group": "monitoring.coreos.com",
        "scope": "Namespaced",
        "names": {"plural": "servicemonitors", "singular": "servicemonitor", "kind": "ServiceMonitor"},
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
        ],
    },
}
"""The custom resource of the Prometheus operator, in short."""
