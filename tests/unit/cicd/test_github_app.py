"""Signing in: as a GitHub App, or with a token."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr, ValidationError

from chassis.failures import PermanentError, TransientError
from services.cicd.adapters.github import AppCredentials
from services.cicd.app import credentials
from services.cicd.settings import CicdSettings
from tests.unit.cicd.answers import Answers


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _app(key: rsa.RSAPrivateKey) -> AppCredentials:
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return AppCredentials(4711, 7, SecretStr(pem.decode()))


def _will_sign_in(github: Answers, token: str, lives: timedelta) -> None:
    expires_at = (datetime.now(UTC) + lives).strftime("%Y-%m-%dT%H:%M:%SZ")
    github.will_be("POST", 201, {"token": token, "expires_at": expires_at})


async def test_an_app_signs_in_with_its_key_and_works_with_the_installations_token(
    github: Answers, key: rsa.RSAPrivateKey
) -> None:
    _will_sign_in(github, "ghs_one", timedelta(hours=1))
    github.will_be("GET", 200, {"names": []})
    forge = github.forge(_app(key))
    await asyncio.gather(*(forge.topics("acme/x") for _ in range(4)))
    signed_in = [one for one in github.asked if one[0] == "POST"]
    assert [path for _, path, _ in signed_in] == ["/app/installations/7/access_tokens"]
    claims = jwt.decode(signed_in[0][2]["Authorization"].split()[1], key.public_key(), algorithms=["RS256"])
    assert claims["iss"] == "4711"
    assert {one[2]["Authorization"] for one in github.asked if one[0] == "GET"} == {"token ghs_one"}


async def test_a_token_is_replaced_before_it_ends(github: Answers, key: rsa.RSAPrivateKey) -> None:
    _will_sign_in(github, "ghs_short", timedelta(seconds=60))
    _will_sign_in(github, "ghs_next", timedelta(hours=1))
    github.will_be("GET", 200, {"names": []})
    forge = github.forge(_app(key))
    for _ in range(3):
        await forge.topics("acme/x")
    assert [one[2]["Authorization"] for one in github.asked if one[0] == "GET"] == [
        "token ghs_short",
        "token ghs_next",
        "token ghs_next",
    ]


async def test_a_token_that_is_taken_back_is_replaced_at_the_next_attempt(
    github: Answers, key: rsa.RSAPrivateKey
) -> None:
    _will_sign_in(github, "ghs_revoked", timedelta(hours=1))
    _will_sign_in(github, "ghs_new", timedelta(hours=1))
    github.will_be("GET", 401, {"message": "Bad credentials"})
    github.will_be("GET", 200, {"names": ["slipway"]})
    forge = github.forge(_app(key))
    with pytest.raises(TransientError, match="sign in anew"):
        await forge.topics("acme/x")
    assert await forge.topics("acme/x") == ("slipway",)
    assert github.asked[-1][2]["Authorization"] == "token ghs_new"


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_an_app_that_may_not_sign_in_is_a_matter_for_the_platform_team(
    github: Answers, key: rsa.RSAPrivateKey, status: int
) -> None:
    github.will_be("POST", status, {"message": "Integration not found"})
    with pytest.raises(PermanentError) as refused:
        await github.forge(_app(key)).topics("acme/x")
    assert refused.value.code == "forge_credentials"
    assert "private key" in refused.value.next_step


async def test_github_away_while_the_app_signs_in_is_transient(github: Answers, key: rsa.RSAPrivateKey) -> None:
    github.will_be("POST", 502)
    with pytest.raises(TransientError):
        await github.forge(_app(key)).topics("acme/x")


def test_what_is_no_key_is_refused_at_once_and_not_repeated(github: Answers) -> None:
    with pytest.raises(ValueError, match="RSA key in PEM") as refused:
        github.forge(AppCredentials(1, 2, SecretStr("-----BEGIN nonsense")))
    assert "nonsense" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({}, "either"),
        ({"forge_token_file": "t", "github_app_id": 1}, "all of"),
        ({"github_app_id": 1, "github_app_installation_id": 2}, "all of"),
        (
            {
                "forge_token_file": "t",
                "github_app_id": 1,
                "github_app_installation_id": 2,
                "github_app_private_key_file": "k",
            },
            "either",
        ),
    ],
)
def test_there_is_one_way_to_sign_in(given: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValidationError, match=wrong):
        CicdSettings(**given)


def test_the_settings_name_the_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "app.pem").write_text("the key\n")
    monkeypatch.setenv("SLIPWAY_CICD_GITHUB_APP_ID", "4711")
    monkeypatch.setenv("SLIPWAY_CICD_GITHUB_APP_INSTALLATION_ID", "7")
    monkeypatch.setenv("SLIPWAY_CICD_GITHUB_APP_PRIVATE_KEY_FILE", str(tmp_path / "app.pem"))
    assert credentials(CicdSettings()) == AppCredentials(4711, 7, SecretStr("the key"))
