"""An application in a directory of a repository that exists: attached by a merge, deployed, and detached again."""

import base64
import json
import shutil

import httpx
import pytest

from tests.e2e.outside import Demo, Json
from tests.stand_ins import wait_until

NAME, REPOSITORY, PATH = "mono-orders", "/repos/acme/mono", "services/orders"
WORKFLOW = f".github/workflows/slipway-{NAME}.yml"
DEPLOYED_SECONDS = 120.0
MAIN = """
import { createServer } from "node:http";
import { readdirSync } from "node:fs";

const server = createServer((_, answer) => answer.end(`orders: ${readdirSync(".").sort()}`));
server.listen(Number(process.env.PORT), process.env.HOST);
process.on("SIGTERM", () => server.close());
"""


def commit(demo: Demo, path: str, text: str) -> None:
    body = {"message": f"Write {path}", "content": base64.b64encode(text.encode()).decode()}
    answer = demo.forge("PUT", f"{REPOSITORY}/contents/{path}", body, login="developer")
    assert answer.status_code == 201, answer.text


def merge(demo: Demo, pull: Json) -> None:
    answer: httpx.Response = demo.forge("PUT", f"{REPOSITORY}/pulls/{pull['number']}/merge", {}, login="developer")
    assert answer.status_code == 200, answer.text


def test_an_application_in_a_directory_is_attached_deployed_and_detached(demo: Demo) -> None:
    if shutil.which("node") is None:
        pytest.skip("no node here: nothing of a Node.js API can run")
    assert demo.forge("POST", "/orgs/acme/repos", {"name": "mono", "auto_init": True}).status_code == 201
    package = {"name": "orders", "version": "1.0.0", "type": "module", "scripts": {"test": "node --check src/main.js"}}
    commit(demo, f"{PATH}/package.json", json.dumps(package))
    commit(demo, f"{PATH}/src/main.js", MAIN)

    refused = demo.slipway("create", NAME, "--template", "nodejs-api", "--repo", "acme/mono", "--path", "../orders")
    assert refused.code != 0
    assert "--path" in refused.err
    created = demo.create(NAME, "--repo", "acme/mono", "--path", PATH, "--set", "database=false")["environment"]
    assert (created["path"], created["pipeline"]["origin"]) == (PATH, "attached")
    (offered,) = demo.forge("GET", f"{REPOSITORY}/pulls").json()
    merge(demo, offered)
    wait_until(lambda: demo.get(created["url"]).text.startswith("orders: "), seconds=DEPLOYED_SECONDS)
    assert {"package.json", "src"} <= set(demo.get(created["url"]).text.removeprefix("orders: ").split(","))
    wait_until(lambda: demo.show(NAME)["deployment"] == "deployed", seconds=DEPLOYED_SECONDS)

    runs = demo.forge("GET", f"{REPOSITORY}/actions/runs").json()["total_count"]
    commit(demo, "docs/README.md", "Nothing of the orders.")
    assert demo.forge("GET", f"{REPOSITORY}/actions/runs").json()["total_count"] == runs

    deleted = demo.slipway("rm", NAME, "--confirm", NAME)
    assert deleted.code == 0, deleted
    (offered,) = demo.forge("GET", f"{REPOSITORY}/pulls").json()
    assert offered["html_url"] in " ".join(deleted.out.split())
    merge(demo, offered)
    assert demo.forge("GET", f"{REPOSITORY}/contents/{WORKFLOW}").status_code == 404
    assert demo.forge("GET", f"{REPOSITORY}/contents/{PATH}/src/main.js").status_code == 200
    assert demo.forge("GET", f"{REPOSITORY}/actions/variables").json()["variables"] == []
    assert demo.forge("GET", f"{REPOSITORY}/environments").json()["environments"] == []
    assert demo.things_of(NAME) == set()
