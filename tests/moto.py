"""AWS on this machine, by moto's server: what Terraform's S3 backend and the AWS provider speak to in tests.

moto is a program beside the platform, never imported: its client library wants other versions of what the platform's
own needs. SLIPWAY_MOTO_SERVER names the program where it is not on PATH. moto checks no signature, so requests need
only say in their credential which service they mean.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from deploy.embedded.ports import HOST, free_port
from tests.stand_ins import running, start

REGION: Final = "eu-central-1"
_ROUTE53: Final = "https://route53.amazonaws.com/doc/2013-04-01/"
_VERSIONS: Final = {"ec2": "2016-11-15", "rds": "2014-10-31", "iam": "2010-05-08"}


def moto_server() -> str | None:
    """The program, where there is one."""
    return os.environ.get("SLIPWAY_MOTO_SERVER") or shutil.which("moto_server")


@dataclass(frozen=True)
class Moto:
    """A running server."""

    url: str

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables by which AWS's clients find it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def query(self, service: str, action: str, **parameters: str) -> str:
        """A call of one of the services with a query protocol; answers its XML."""
        form = {"Action": action, "Version": _VERSIONS[service], **parameters}
        return self.ask(service, "POST", "/", form=form)

    def make_vpc(self, block: str) -> str:
        """Its id."""
        return _only(r"<vpcId>(vpc-\w+)</vpcId>", self.query("ec2", "CreateVpc", CidrBlock=block))

    def make_security_group(self, vpc: str, name: str) -> str:
        """Its id."""
        made = self.query("ec2", "CreateSecurityGroup", GroupName=name, GroupDescription=name, VpcId=vpc)
        return _only(r"<groupId>(sg-\w+)</groupId>", made)

    def make_zone(self, name: str) -> str:
        """A hosted zone's id."""
        body = (
            f'<CreateHostedZoneRequest xmlns="{_ROUTE53}"><Name>{name}</Name>'
            f"<CallerReference>{name}</CallerReference></CreateHostedZoneRequest>"
        )
        return _only(r"/hostedzone/(\w+)<", self.ask("route53", "POST", "/2013-04-01/hostedzone", content=body))

    def records(self, zone: str) -> set[str]:
        """The names in a zone."""
        return set(
            re.findall(r"<Name>([^<]+)</Name>", self.ask("route53", "GET", f"/2013-04-01/hostedzone/{zone}/rrset"))
        )

    def make_bucket(self, name: str) -> None:
        """Empty."""
        where = (
            f"<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>"
        )
        self.ask("s3", "PUT", f"/{name}", content=where)

    def keys(self, bucket: str) -> set[str]:
        """What a bucket holds."""
        return set(re.findall(r"<Key>([^<]+)</Key>", self.ask("s3", "GET", f"/{bucket}?list-type=2")))

    def content(self, bucket: str, key: str) -> str:
        """Of one of them."""
        return self.ask("s3", "GET", f"/{bucket}/{key}")

    def ask(
        self, service: str, method: str, path: str, *, content: str = "", form: Mapping[str, str] | None = None
    ) -> str:
        """One request; what it answers, which has to be a success."""
        credential = f"Credential=testing/20260101/{REGION}/{service}/aws4_request"
        headers = {"Authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=none"}
        if form is not None:
            answer = httpx.request(method, self.url + path, headers=headers, data=dict(form), timeout=30)
        else:
            answer = httpx.request(method, self.url + path, headers=headers, content=content, timeout=30)
        assert answer.is_success, answer.text
        return answer.text


@contextmanager
def start_moto(program: str, directory: Path) -> Iterator[Moto]:
    """A server of its own, with nothing in it, that dies with this process."""
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    moto = Moto(f"http://{HOST}:{port}")
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(directory)}
    with running(start([program, "-H", HOST, "-p", str(port)], environment, directory), lambda: _answers(moto)):
        yield moto


def _answers(moto: Moto) -> bool:
    try:
        return httpx.get(f"{moto.url}/moto-api/", timeout=1).is_success
    except httpx.HTTPError:
        return False


def _only(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found is not None, text
    return found[1]
