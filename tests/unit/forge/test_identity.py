"""Identity tokens: what they claim, for whom, and for how long."""

import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from deploy.embedded.forge.workflows.identity import Identities, IdentityError, JobIdentity, SigningKey

URL = "http://127.0.0.1:8018"
JOB = JobIdentity(
    job_id=5,
    repository="acme/app",
    repository_id=7,
    repository_owner="acme",
    repository_owner_id=1,
    private=True,
    ref="refs/heads/main",
    sha="a" * 40,
    environment=None,
    actor="ada",
    actor_id=3,
    run_id=11,
    run_number=2,
    run_attempt=1,
    workflow="Deploy",
    workflow_path=".github/workflows/deploy.yml",
    event_name="push",
    head_ref="",
    base_ref="",
)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return SigningKey(tmp_path_factory.mktemp("identity") / "below" / "identity.pem")


@pytest.fixture
def identities(key: SigningKey) -> Identities:
    return Identities(URL, key)


def published(identities: Identities) -> KeySet:
    """The keys as somebody who checks a token sees them."""
    keys: Any = identities.key_set()
    return KeySet.import_key_set(keys)


@pytest.mark.parametrize(
    ("changes", "subject"),
    [
        ({}, "repo:acme/app:ref:refs/heads/main"),
        ({"ref": "refs/tags/v1"}, "repo:acme/app:ref:refs/tags/v1"),
        ({"environment": "demo"}, "repo:acme/app:environment:demo"),
        ({"environment": "a:environment:b"}, "repo:acme/app:environment:a%3Aenvironment%3Ab"),
        ({"event_name": "pull_request", "ref": "refs/pull/1/merge"}, "repo:acme/app:pull_request"),
    ],
)
def test_the_subject_is_githubs(changes: dict[str, str], subject: str) -> None:
    assert replace(JOB, **changes).subject == subject  # type: ignore[arg-type]


def test_a_token_verifies_with_the_published_keys_and_says_what_githubs_say(identities: Identities) -> None:
    token = identities.issue(5, identities.admit(replace(JOB, environment="demo")), "slipway")
    assert token is not None
    decoded = jwt.decode(token, published(identities), algorithms=["RS256"])
    claims = decoded.claims
    registry = jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": f"{URL}/_services/token"},
        aud={"essential": True, "value": "slipway"},
        sub={"essential": True, "value": "repo:acme/app:environment:demo"},
    )
    registry.validate(claims)
    assert decoded.header["kid"] == identities.key_set()["keys"][0]["kid"]
    assert claims["exp"] - claims["iat"] == 600
    assert {name: claims[name] for name in ("repository_id", "environment", "run_attempt", "runner_environment")} == {
        "repository_id": "7",
        "environment": "demo",
        "run_attempt": "1",
        "runner_environment": "self-hosted",
    }
    assert claims["workflow_ref"] == claims["job_workflow_ref"] == f"acme/app/{JOB.workflow_path}@refs/heads/main"
    assert set(claims) <= set(identities.configuration()["claims_supported"])


def test_without_an_audience_it_is_the_owner(identities: Identities) -> None:
    token = identities.issue(5, identities.admit(JOB), None)
    assert token is not None
    assert jwt.decode(token, published(identities)).claims["aud"] == f"{URL}/acme"
    assert "environment" not in jwt.decode(token, published(identities)).claims


def test_a_request_token_is_one_jobs_and_dies_with_it(identities: Identities) -> None:
    mine, other = identities.admit(JOB), identities.admit(replace(JOB, job_id=6))
    assert identities.issue(5, other, "slipway") is None
    assert identities.issue(5, "", "slipway") is None
    assert identities.issue(99, mine, "slipway") is None
    issued = identities.issue(5, mine, "slipway")
    assert identities.issued(5) == (issued,)
    identities.dismiss(5)
    assert identities.issue(5, mine, "slipway") is None
    assert identities.issued(5) == ()


@pytest.mark.parametrize("audience", ["", "a" * 513, "a\nb"])
def test_an_audience_that_cannot_be_one_is_refused(identities: Identities, audience: str) -> None:
    with pytest.raises(IdentityError):
        identities.issue(5, identities.admit(JOB), audience)


def test_the_key_is_kept_private_and_published_only_in_part(tmp_path: Path) -> None:
    path = tmp_path / "identity.pem"
    first, again = SigningKey(path), SigningKey(path)
    assert first.public() == again.public()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not {"d", "p", "q"} & set(first.public())
