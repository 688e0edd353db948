"""The knobs of the secrets service."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class SecretsSettings(BaseSettings):
    """Read from `SLIPWAY_SECRETS_*` variables of the environment."""

    model_config = SettingsConfigDict(env_prefix="SLIPWAY_SECRETS_", frozen=True, extra="ignore")

    openbao_url: str = "http://127.0.0.1:8013"
    role_id_file: Path
    """The service's AppRole: the role id."""
    secret_id_file: Path
    """The service's AppRole: the secret id."""
    openbao_ca_file: Path | None = None
    """Certificates to trust where OpenBao is served over TLS by a private authority."""
    database_connection: str = "apps"
    """The database engine's connection under which environments have their schemas."""
    first_logins: Literal["", "aws"] = ""
    """Who keeps the first logins of instances that environments have to themselves: AWS Secrets Manager, found as AWS's
    clients are told to (`AWS_ROLE_ARN`, `AWS_WEB_IDENTITY_TOKEN_FILE`, …). Empty: no environment has an instance."""
    instance_ca_file: Path | None = None
    """The certificates that vouch for those instances (PEM); AWS calls them the certificate bundle of RDS."""
    openbao_instance_ca_file: Path | None = None
    """Where OpenBao has the same file, on its own disk; empty: it trusts them like everything its system does."""
    instance_tls: Literal["verify-full", "disable"] = "verify-full"
    """`disable` is for instances on a loopback interface, which is where tests have them."""
    people_mounts: tuple[str, ...] = ("userpass", "oidc")
    """Auth mounts by whose names people are known: an owner is looked up as a login there."""
    cluster_url: str = Field(default="", pattern=r"^(?:https://\S*[^\s/])?$")
    """The Kubernetes cluster's address for developers; empty: this platform has none."""
    cluster_ca_file: Path | None = None
    """Certificates that developers trust there (PEM), where it has a private authority."""
    cluster_login_path: str = Field(default="kubernetes/creds/slipway-developer", pattern=r"^[\w-]+/creds/[\w-]+$")
    """The path of OpenBao's Kubernetes engine that creates tokens of the account `developer` in environments'
    namespaces, and of nothing else (docs/how-to/kubectl.md)."""
    cluster_audience: str = ""
    """The audience of those tokens; empty: the one that the API server takes by itself."""
    cluster_token_seconds: int = Field(default=3600, ge=600, le=3600)
    """How long they open."""
    parallel_calls: int = Field(default=16, ge=1)
    """How many requests to OpenBao are under way at once."""

    @model_validator(mode="after")
    def _vouched_for(self) -> Self:
        if self.first_logins and self.instance_tls != "disable" and self.instance_ca_file is None:
            raise ValueError(
                "environments' own database instances are spoken to over TLS: name the file of their certificates in"
                " SLIPWAY_SECRETS_INSTANCE_CA_FILE"
            )
        return self
