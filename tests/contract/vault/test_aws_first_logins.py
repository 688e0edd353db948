"""First logins of instances, read from Secrets Manager (moto's) by each of the ways in which a pod knows who it is."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from uuid import uuid4

import pytest

from chassis.failures import PermanentError
from deploy.embedded.ports import HOST
from services.secrets.adapters.aws import AwsFirstLogins
from tests.contract.vault.instance import Instance, make_secret, needs_moto

pytestmark = needs_moto


async def test_the_pods_role_is_taken_by_its_web_identity(instance: Instance, tmp_path: Path) -> None:
    instance.empty()
    token = tmp_path / "token"
    token.write_text("the service account's\n")
    by_role = AwsFirstLogins(
        {
            "AWS_ENDPOINT_URL": instance.moto.url,
            "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/slipway-secrets",
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
        }
    )

    found = await by_role.read(instance.master_secret)

    assert (found.user, found.password.get_secret_value()) == ("slipway", instance.first_password)
    assert instance.first_password not in repr(found)


async def test_what_is_no_first_login_of_rds_is_never_asked_for(instance: Instance) -> None:
    first_logins = AwsFirstLogins(instance.moto.environment)
    others = make_secret(instance.moto, f"payments-{uuid4().hex[:8]}", {"username": "ada", "password": "theirs"})
    gone = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!db-gone-AbCdEf"

    for secret, code in ((others, "foreign_first_login"), (gone, "first_login_refused")):
        with pytest.raises(PermanentError) as refused:
            await first_logins.read(secret)
        assert refused.value.code == code
    with pytest.raises(PermanentError, match="no AWS identity"):
        await AwsFirstLogins({}).read(gone)


async def test_pod_identity_is_asked_on_this_machine_alone(instance: Instance, tmp_path: Path) -> None:
    instance.empty()
    token = tmp_path / "token"
    token.write_text("the pod's")
    asked: list[str | None] = []

    class Agent(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers["Authorization"])
            body = json.dumps({"AccessKeyId": "ASIA1", "SecretAccessKey": "secret", "Token": "session"}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    told = {"AWS_ENDPOINT_URL": instance.moto.url, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token)}
    with HTTPServer((HOST, 0), Agent) as agent:
        threading.Thread(target=agent.handle_request, daemon=True).start()
        here = told | {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{HOST}:{agent.server_port}/v1/credentials"}
        found = await AwsFirstLogins(here).read(instance.master_secret)

    assert asked == ["the pod's"]
    assert found.password.get_secret_value() == instance.first_password
    elsewhere = told | {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://credentials.example.test/"}
    with pytest.raises(PermanentError, match="neither on this machine nor protected"):
        await AwsFirstLogins(elsewhere).read(instance.master_secret)
