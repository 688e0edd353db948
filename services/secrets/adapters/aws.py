"""The port `FirstLogins` by AWS Secrets Manager, where RDS keeps the first login of each instance that it makes.

Who we are comes from where AWS's own clients find it: an access key in the environment, the pod's role by its web
identity (IRSA), or EKS Pod Identity. Addresses can be set as for those (`AWS_ENDPOINT_URL`, and
`AWS_ENDPOINT_URL_SECRETS_MANAGER` and `AWS_ENDPOINT_URL_STS` before it).
Invariants: only a secret that RDS manages is asked for; and nothing that was answered is in an exception, a log line or
a span.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import anyio.to_thread
import requests
from opentelemetry.trace import SpanKind
from pydantic import SecretStr
from requests_aws4auth import AWS4Auth  # type: ignore[import-untyped] # it has no types

from chassis import tracing
from chassis.failures import PermanentError, TransientError
from services.secrets.domain import InstanceLogin

TIMEOUT_SECONDS: Final = (3.0, 10.0)
"""To connect, and for the answer."""
_MANAGED_BY_RDS: Final = re.compile(
    r"arn:(?P<partition>aws(?:-[a-z]+)*):secretsmanager:(?P<region>[a-z0-9-]+):\d{12}:secret:rds![\w/+=.@-]+"
)
_SESSION_SECONDS: Final = 900
"""As short as STS gives them; every read asks for a new one."""
_OF_THE_NODE: Final = frozenset({"127.0.0.1", "localhost", "::1", "169.254.170.2", "169.254.170.23", "fd00:ec2::23"})
"""Who may be asked for credentials without TLS: nobody outside this machine answers there."""
_STS: Final = "{https://sts.amazonaws.com/doc/2011-06-15/}"


@dataclass(frozen=True)
class _Key:
    """An access key, with the token of its session where it has one."""

    id: str
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


class AwsFirstLogins:
    """First logins of RDS instances."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """`environment` holds the variables by which AWS's clients are told who they are."""
        self._environment = environment

    async def read(self, secret: str) -> InstanceLogin:
        """See the port."""
        named = _MANAGED_BY_RDS.fullmatch(secret)
        if named is None:
            raise PermanentError(
                "foreign_first_login",
                "the first login of the environment's database is not kept where RDS keeps them",
                next_step="This is a fault of the golden path's Terraform module: tell the platform team.",
            )
        with tracing.span(
            "secretsmanager GetSecretValue", kind=SpanKind.CLIENT, attributes={"cloud.region": named["region"]}
        ):
            return await anyio.to_thread.run_sync(partial(self._read, secret, named["region"], named["partition"]))

    def _read(self, secret: str, region: str, partition: str) -> InstanceLogin:
        domain = "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com"
        key = self._key(region, domain)
        answer = _ask(
            "POST",
            self._endpoint("secretsmanager", f"https://secretsmanager.{region}.{domain}") + "/",
            data=json.dumps({"SecretId": secret}),
            headers={
                "Content-Type": "application/x-amz-json-1.1",
                "X-Amz-Target": "secretsmanager.GetSecretValue",
            },
            auth=AWS4Auth(key.id, key.secret, region, "secretsmanager", session_token=key.token),
        )
        if not answer.ok:
            raise _refusal(answer, secret)
        try:
            kept = json.loads(answer.json()["SecretString"])
            return InstanceLogin(str(kept["username"]), SecretStr(str(kept["password"])))
        except (ValueError, KeyError, TypeError):
            raise PermanentError(
                "foreign_first_login",
                f"{secret} holds no user's name and password",
                next_step="The platform team looks whether RDS still manages it.",
            ) from None

    def _key(self, region: str, domain: str) -> _Key:
        known = self._environment
        if "AWS_ACCESS_KEY_ID" in known and "AWS_SECRET_ACCESS_KEY" in known:
            token = known.get("AWS_SESSION_TOKEN")
            return _Key(known["AWS_ACCESS_KEY_ID"], known["AWS_SECRET_ACCESS_KEY"], token)
        if "AWS_ROLE_ARN" in known and "AWS_WEB_IDENTITY_TOKEN_FILE" in known:
            return self._by_web_identity(region, domain)
        if "AWS_CONTAINER_CREDENTIALS_FULL_URI" in known:
            return self._by_pod_identity()
        raise PermanentError(
            "no_aws_identity",
            "the secrets service has no AWS identity, so it cannot read the first login of a database instance",
            next_step="The platform team gives its service account an IAM role; docs/how-to/run-on-aws.md says which.",
        )

    def _by_web_identity(self, region: str, domain: str) -> _Key:
        """STS takes the pod's own token for credentials; that request needs no signature."""
        form = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": self._environment["AWS_ROLE_ARN"],
            "RoleSessionName": self._environment.get("AWS_ROLE_SESSION_NAME", "slipway-secrets"),
            "WebIdentityToken": _token_in(self._environment["AWS_WEB_IDENTITY_TOKEN_FILE"]),
            "DurationSeconds": str(_SESSION_SECONDS),
        }
        answer = _ask("POST", self._endpoint("sts", f"https://sts.{region}.{domain}") + "/", data=form)
        if not answer.ok:
            raise _no_session(answer, "STS")
        try:
            said = ET.fromstring(answer.content)  # noqa: S314 -- AWS says it, over TLS
            found = said.find(f".//{_STS}Credentials")
            values = {one.tag.removeprefix(_STS): one.text or "" for one in found} if found is not None else {}
            return _Key(values["AccessKeyId"], values["SecretAccessKey"], values["SessionToken"])
        except (ET.ParseError, KeyError):
            raise TransientError("STS answered without credentials") from None

    def _by_pod_identity(self) -> _Key:
        """The agent of the node takes the pod's token for credentials."""
        address = self._environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
        parts = urlsplit(address)
        if parts.scheme != "https" and parts.hostname not in _OF_THE_NODE:
            raise PermanentError(
                "no_aws_identity",
                "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither on this machine nor protected by TLS",
                next_step="The platform team corrects it; EKS Pod Identity sets it by itself.",
            )
        headers = {}
        if "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE" in self._environment:
            headers["Authorization"] = _token_in(self._environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"])
        answer = _ask("GET", address, headers=headers, proxies={"http": "", "https": ""})
        if not answer.ok:
            raise _no_session(answer, "EKS Pod Identity")
        try:
            found = answer.json()
            return _Key(found["AccessKeyId"], found["SecretAccessKey"], found["Token"])
        except (ValueError, KeyError, TypeError):
            raise TransientError("EKS Pod Identity answered without credentials") from None

    def _endpoint(self, service: str, otherwise: str) -> str:
        known = self._environment
        own = known.get(f"AWS_ENDPOINT_URL_{'SECRETS_MANAGER' if service == 'secretsmanager' else service.upper()}")
        return (own or known.get("AWS_ENDPOINT_URL") or otherwise).rstrip("/")


def _ask(method: str, url: str, **what: Any) -> requests.Response:
    try:
        return requests.request(method, url, timeout=TIMEOUT_SECONDS, allow_redirects=False, **what)
    except requests.RequestException as error:
        raise TransientError(f"{urlsplit(url).hostname} does not answer ({type(error).__name__})") from None


def _token_in(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise PermanentError(
            "no_aws_identity",
            f"the pod's token for AWS cannot be read ({error.strerror})",
            next_step="The platform team looks whether the service account's token is in the pod.",
        ) from None


def _no_session(answer: requests.Response, who: str) -> Exception:
    if answer.status_code >= 500 or answer.status_code == 429:
        return TransientError(f"{who} could not give credentials now ({answer.status_code})")
    return PermanentError(
        "no_aws_identity",
        f"{who} gives the secrets service no credentials ({answer.status_code})",
        next_step="The platform team compares the IAM role's trust with the service account; docs/how-to/run-on-aws.md"
        " says what it has to be.",
    )


_FOR_GOOD: Final = frozenset({"ResourceNotFoundException", "AccessDeniedException", "DecryptionFailure"})


def _refusal(answer: requests.Response, secret: str) -> Exception:
    """What it means that Secrets Manager gave no secret: its code says it, its words are not passed on."""
    try:
        code = str(answer.json()["__type"]).rpartition("#")[2]
    except (ValueError, KeyError, TypeError):
        code = str(answer.status_code)
    if code not in _FOR_GOOD:
        return TransientError(f"Secrets Manager could not give {secret} now ({code})")
    return PermanentError(
        "first_login_refused",
        f"Secrets Manager does not give the secrets service {secret} ({code})",
        next_step="The platform team compares the IAM role of the secrets service with docs/how-to/run-on-aws.md.",
    )
