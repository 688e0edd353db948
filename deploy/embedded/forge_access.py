"""Who may do what on the forge, and the repositories that must be there before the first environment.

Invariant: the forge knows only hashes of tokens; each service has a login of its own.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from deploy.embedded.keys import Keys
from deploy.embedded.local_http import HttpError, request_json

CICD_LOGIN = "slipway-cicd"
PROVISIONER_LOGIN = "slipway-provisioner"
PERSON_LOGIN = "developer"
OPERATOR_LOGIN = "platform-team"
"""Who changes environments by pushing to the environments repository."""
ENVIRONMENTS_REPOSITORY = "platform/environments"
TICKETS_REPOSITORY = "platform/feedback"
_DESCRIPTIONS = {
    ENVIRONMENTS_REPOSITORY: "The desired state of every environment",
    TICKETS_REPOSITORY: "What people tell the platform team",
}
# Those who make repositories in organisations, and those who run the platform, are administrators of the forge.
_ADMINISTRATORS = {CICD_LOGIN: True, PROVISIONER_LOGIN: True, OPERATOR_LOGIN: True, PERSON_LOGIN: False}
_WEBHOOK_SECRET = "forge-webhook.secret"  # noqa: S105 - the name of a file
_WEBHOOK_PATH = "/api/v1/webhooks/forge"
_EVENTS_PATH = "/api/v1/github/events"
_EVENTS = ("pull_request", "issue_comment", "workflow_run", "deployment_status")
_APPLICATIONS = "acme"
"""The organisation whose repositories hold applications."""
_NOT_FOUND = 404


def forge_token_file(keys: Keys, login: str) -> Path:
    """The token of `login`, made now if it does not exist."""
    return keys.ensure(f"forge-{login}.token")


def forge_tokens(keys: Keys) -> str:
    """The forge's tokens file: each login with its token's hash."""
    users = {
        login: {
            "token_sha256": hashlib.sha256(forge_token_file(keys, login).read_bytes()).hexdigest(),
            "admin": admin,
        }
        for login, admin in _ADMINISTRATORS.items()
    }
    return json.dumps(users, indent=2) + "\n"


def webhook_secret_file(keys: Keys) -> Path:
    """The secret with which the forge signs what it tells the gateway, made now if it does not exist."""
    return keys.ensure(_WEBHOOK_SECRET)


def ensure_repositories(url: str, keys: Keys) -> None:
    """Make the platform's own repositories unless they are there. Raises HttpError and OSError."""
    token = forge_token_file(keys, PROVISIONER_LOGIN).read_text()
    headers = {"Authorization": f"token {token}"}
    for repository, description in _DESCRIPTIONS.items():
        owner, name = repository.split("/")
        try:
            request_json("GET", f"{url}/repos/{owner}/{name}", headers=headers)
        except HttpError as error:
            if error.status != _NOT_FOUND:
                raise
            body = {"name": name, "private": True, "description": description}
            request_json("POST", f"{url}/orgs/{owner}/repos", body, headers=headers)


def ensure_hook(url: str, keys: Keys, gateway_url: str, *, renew: bool = False) -> None:
    """Let the gateway hear of pushes to the repository of environments, and of pull requests and deployments of every
    application, wherever it is served now. With `renew` they are signed with the secret as it is now. Raises HttpError
    and OSError."""
    repository = f"{url}/repos/{ENVIRONMENTS_REPOSITORY}/hooks"
    _ensure_hook(repository, keys, gateway_url, _WEBHOOK_PATH, ("push",), renew=renew)
    # One for the whole organisation: a repository that is made later, by whomever, is heard of too.
    _ensure_hook(f"{url}/orgs/{_APPLICATIONS}/hooks", keys, gateway_url, _EVENTS_PATH, _EVENTS, renew=renew)


def _ensure_hook(hooks: str, keys: Keys, gateway_url: str, path: str, events: tuple[str, ...], *, renew: bool) -> None:
    headers = {"Authorization": f"token {forge_token_file(keys, PROVISIONER_LOGIN).read_text()}"}
    target = f"{gateway_url}{path}"
    config = {"url": target, "content_type": "json", "secret": webhook_secret_file(keys).read_text()}
    ours = [hook for hook in request_json("GET", hooks, headers=headers) if path in hook["config"]["url"]]
    if not ours:
        body = {"name": "web", "active": True, "events": list(events), "config": config}
        request_json("POST", hooks, body, headers=headers)
    for hook in ours:
        if renew or hook["config"]["url"] != target:  # the platform's ports were moved
            request_json("PATCH", f"{hooks}/{hook['id']}", {"config": config}, headers=headers)
