"""The provisioner's own knobs, read from `SLIPWAY_PROVISIONER_*` variables of the environment.

Secrets are named as files. `AccessSettings` alone is what the provider's ordinary executable needs, too.
"""

import shlex
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.provisioner.adapters.git_command import GitKnobs
from services.provisioner.adapters.terraform_workspace import TerraformKnobs
from services.provisioner.domain import AwsPlatform, Platform

_PROJECT = Path(__file__).resolve().parents[2]


class AccessSettings(BaseSettings):
    """What the `local` modules' provider may touch; a part that is not named is not offered."""

    model_config = SettingsConfigDict(env_prefix="SLIPWAY_PROVISIONER_", frozen=True, extra="ignore")

    postgres_host: str = "127.0.0.1"
    postgres_port: int = 8012
    postgres_database: str = "apps"
    """Where environments get their schemas."""
    postgres_user: str = "slipway_provisioner"
    """Needs CREATEROLE, and CREATE on the database."""
    postgres_password_file: Path | None = None
    leases_role: str = "slipway_leases"
    """The role under which OpenBao makes short-lived logins."""
    dns_host: str = "127.0.0.1"
    dns_port: int = 8017
    dns_zone: str = "slipway.localhost"
    dns_key_file: Path | None = None
    """The TSIG key: what `tsig-keygen` writes, or `name:algorithm:base64`."""
    caddy_socket: Path | None = None
    """The unix socket of Caddy's admin API."""
    caddy_server: str = "slipway"
    """The key of the HTTP server, below `apps.http.servers`, that gets the routes."""
    runtime_directory: Path | None = None
    """Where the local runtime keeps its slots."""
    kubernetes_kubeconfig: Path | None = None
    """A file in kubectl's format with the credentials for the cluster that environments get their namespaces in."""
    kubernetes_context: str = ""
    """The context of that file; empty means its current one."""
    kubernetes_in_cluster: bool = False
    """The cluster is the one that this process runs in, with its pod's service account; a kubeconfig goes first."""


class ProvisionerSettings(AccessSettings):
    """Where the provisioner works."""

    repository_url: str
    """The environments repository, over smart HTTP; without a user or a token in it."""
    repository_branch: str = "main"
    repository_user: str = "slipway-provisioner"
    repository_token_file: Path
    forge_url: str
    """Base of the URLs that people clone applications from."""
    data_directory: Path
    """Durable disk, ours alone: a directory an environment with Terraform's state, and the repository's clone."""
    sockets_directory: Path
    """Short (a socket's path has at most 107 bytes), of this user, mode 0700."""
    terraform: str = "terraform"
    """The command that runs Terraform (or OpenTofu), split as a shell would."""
    terraform_timeout_seconds: float = Field(default=1800, gt=0)
    """For one command."""
    terraform_passes: tuple[str, ...] = ()
    """Further variables of this process's environment that Terraform may see (a cloud's credentials, for instance)."""
    provider_mirror: Path | None = None
    """A filesystem mirror of Terraform providers, where no registry is reachable."""
    golden_paths_directory: Path = _PROJECT / "golden_paths"
    modules_directory: Path = _PROJECT / "deploy" / "terraform"
    target: Literal["local", "aws"] = "local"
    """Which set of modules makes things real."""
    state_bucket: str = ""
    """An S3 bucket for Terraform's state (region and credentials by `terraform_passes`); empty keeps it on disk."""
    aws: AwsPlatform | None = None
    """The shared parts on AWS (JSON; `deploy/terraform/aws/README.md` names them); the target `aws` needs them."""
    ingress_address: str = "127.0.0.1"
    """What an environment's DNS name points at: an address, or on AWS the load balancer's DNS name."""
    ingress_port: int = 8015
    """The port people reach it on."""

    @model_validator(mode="after")
    def _target_is_described(self) -> Self:
        if (self.target == "aws") != (self.aws is not None):
            raise ValueError("SLIPWAY_PROVISIONER_AWS goes with SLIPWAY_PROVISIONER_TARGET=aws: set both or neither")
        return self

    @property
    def terraform_knobs(self) -> TerraformKnobs:
        """How Terraform is run."""
        return TerraformKnobs(
            argv=tuple(shlex.split(self.terraform)),
            directory=self.data_directory / "environments",
            sockets=self.sockets_directory,
            provider_mirror=self.provider_mirror,
            command_timeout_seconds=self.terraform_timeout_seconds,
            also_passed_on=self.terraform_passes,
        )

    @property
    def git_knobs(self) -> GitKnobs:
        """How the environments repository is reached."""
        return GitKnobs(
            url=self.repository_url,
            branch=self.repository_branch,
            user=self.repository_user,
            token_file=self.repository_token_file,
            clone=self.data_directory / "environments.git",
        )

    @property
    def platform(self) -> Platform:
        """What every environment is told of the platform's shared parts."""
        return Platform(
            zone=self.dns_zone,
            ingress_address=self.ingress_address,
            ingress_port=self.ingress_port,
            database_host=self.postgres_host,
            database_port=self.postgres_port,
            database_name=self.postgres_database,
            forge_url=self.forge_url.rstrip("/"),
            state_bucket=self.state_bucket,
            aws=self.aws,
        )
