"""Git is the state: what a person pushes to the environments repository becomes a run, and what is changed behind its
back is made again."""

from pathlib import Path

import dns.name
import dns.query
import dns.rcode
import dns.tsigkeyring
import dns.update
import httpx

from deploy.embedded.home import Home
from deploy.embedded.ports import HOST, ZONE
from tests.e2e.outside import Demo, Json
from tests.stand_ins import wait_until

NAME = "by-hand"


def _push(demo: Demo, clone: Path, message: str) -> None:
    """Commit everything as the platform team, and push it."""
    token = demo.home.keys / "forge-platform-team.token"
    helper = f'!f() {{ echo username=platform-team; echo "password=$(cat {token})"; }}; f'
    identity = ("-c", "user.name=grace", "-c", "user.email=grace@acme.test")
    assert demo.run("git", *identity, "commit", "--quiet", "--all", "-m", message, cwd=clone).code == 0
    pushed = demo.run("git", "-c", "credential.helper=", "-c", f"credential.helper={helper}", "push", cwd=clone)
    assert pushed.code == 0, pushed


def _run_because_of_git(demo: Demo, number: int) -> Json:
    """The newest run of that number of runs whose cause is a push, once it has succeeded."""

    def newest() -> list[Json]:
        return [run for run in demo.runs(NAME) if run["cause"] == "git"]

    wait_until(lambda: len(newest()) == number and newest()[0]["state"] == "succeeded")
    return newest()[0]


def test_a_pushed_commit_becomes_a_run_and_a_revert_takes_it_back(demo: Demo, tmp_path: Path) -> None:
    demo.create(NAME)
    clone = demo.clone_environments(tmp_path / "environments")
    manifest = clone / "environments" / NAME / "manifest.yaml"
    was = manifest.read_text()
    assert "instances: 1" in was
    manifest.write_text(was.replace("instances: 1", "instances: 2"))
    _push(demo, clone, "Give it a second instance")

    run = _run_because_of_git(demo, 1)
    assert (run["kind"], run["requested_by"]) == ("update", "platform-team")
    assert demo.show(NAME)["parameters"]["instances"] == 2

    assert demo.run("git", "pull", "--quiet", "--rebase", cwd=_with_developer(demo, clone)).code == 0
    manifest.write_text(manifest.read_text().replace("instances: 2", "instances: 1"))
    _push(demo, clone, "Take the second instance back")
    _run_because_of_git(demo, 2)
    assert demo.show(NAME)["parameters"]["instances"] == 1


def _with_developer(demo: Demo, clone: Path) -> Path:
    helper = f'!f() {{ echo username=developer; echo "password=$(cat {demo.home.keys}/forge-developer.token)"; }}; f'
    assert demo.run("git", "config", "credential.helper", helper, cwd=clone).code == 0
    return clone


def test_what_was_changed_behind_its_back_is_made_again(demo: Demo, neighbour: str) -> None:
    hostname, schema = f"{neighbour}.{ZONE}", f"env_{neighbour.replace('-', '_')}"
    whole = demo.things_of(neighbour) - {"lease"}  # its application may be about to get one
    address = demo.look_up(hostname)

    with demo.database("postgres", demo.key("pg-postgres.password")) as connection:
        connection.execute(f'DROP SCHEMA "{schema}" CASCADE'.encode())
    _point_elsewhere(demo, neighbour)
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(_caddy(demo.home))), timeout=30) as caddy:
        assert caddy.delete(f"http://caddy/id/env-{neighbour}").is_success
    assert whole - demo.things_of(neighbour) == {"schema", "route"}
    assert demo.look_up(hostname) == ["127.0.0.9"]

    repaired = demo.slipway("repair", neighbour)
    assert repaired.code == 0, repaired
    assert demo.things_of(neighbour) - {"lease"} == whole
    assert demo.look_up(hostname) == address


def _caddy(home: Home) -> Path:
    return home.socket("caddy.sock")


def _point_elsewhere(demo: Demo, name: str) -> None:
    """Change its DNS record at the server, with the key of the platform (RFC 2136, TSIG)."""
    key_name, algorithm, secret = demo.key("dns-tsig.key").split(":")
    update = dns.update.UpdateMessage(
        ZONE,
        keyring=dns.tsigkeyring.from_text({key_name: secret}),
        keyname=dns.name.from_text(key_name),
        keyalgorithm=algorithm,
    )
    update.replace(name, 60, "A", "127.0.0.9")
    answer = dns.query.tcp(update, HOST, port=demo.ports["dns"], timeout=30)
    assert answer.rcode() == dns.rcode.NOERROR
