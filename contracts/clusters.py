"""Who may reach an environment's namespace with kubectl: a question that the secrets service answers.

Invariant: no credential is in a question or an answer. What is answered is a token of OpenBao that gives out the
credential once, within a minute, to whoever shows it there first.
"""

from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from contracts.envelope import Value
from contracts.names import EnvironmentName
from contracts.queries import Query
from contracts.values import Text

DEVELOPERS_ACCOUNT: Final = "developer"
"""The service account, in each environment's namespace, that its developers act as."""

NamespaceName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$")]
"""A DNS label (RFC 1123 §2.1)."""


class WrappedLogin(Value):
    """A login of the namespace, still wrapped."""

    server: str
    """The cluster's address, as developers reach it."""
    certificate_authority: str = ""
    """The certificates to trust there (PEM); empty means those that the developer's machine trusts."""
    wrapping_token: str = Field(repr=False)
    """Opens the login at OpenBao (`sys/wrapping/unwrap`), once."""


class NamespaceAccess(Value):
    """A login, or why there is none: the platform has no cluster, or the environment is gone."""

    login: WrappedLogin | None = None
    refused: Literal["no_cluster", "environment_gone"] | None = None


class RequestNamespaceAccess(Query[NamespaceAccess]):
    """Make a login of a few minutes for the developers' account of one namespace. Whoever asks has checked that the
    person may have it."""

    name = "namespace_access"
    service = "secrets"
    environment: EnvironmentName
    incarnation: UUID
    namespace: NamespaceName
    person: Text
    """For the record: who it is for."""
