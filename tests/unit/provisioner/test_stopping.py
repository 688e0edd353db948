"""How long the provisioner may take to stop."""

from dataclasses import fields
from pathlib import Path

from deploy.embedded.home import Home
from deploy.embedded.parts import Setup
from deploy.embedded.ports import Ports
from deploy.embedded.service_parts import services
from deploy.embedded.supervision import _STOP_WAIT_SECONDS
from services.provisioner.adapters.terraform_workspace import TerraformKnobs

CLOSING_SECONDS = 2
"""For handing the work back and closing connections, after Terraform has ended."""


def test_its_work_and_terraform_end_before_the_supervisor_kills_them(tmp_path: Path) -> None:
    (provisioner,) = [part for part in services(Setup(Home(tmp_path), Ports(12000))) if part.name == "provisioner"]
    grace_seconds = float(provisioner.launch().environment["SLIPWAY_SHUTDOWN_GRACE_SECONDS"])
    (terraform_seconds,) = [field.default for field in fields(TerraformKnobs) if field.name == "stop_grace_seconds"]
    assert isinstance(terraform_seconds, float)
    assert grace_seconds + terraform_seconds + CLOSING_SECONDS <= _STOP_WAIT_SECONDS
