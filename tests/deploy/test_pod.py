"""The platform of `docker-compose.yml`, run without Docker: each container's command, variables, files, volumes, user
and health check as they stand there, until the first environment answers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import pytest

from deploy.compose.shares import SHARES
from tests.deploy import metrics_in_use as in_use
from tests.deploy.pod import WITHOUT_PROGRAM, Pod, running_pod, why_not

SERVICES = {"gateway": 8006, "catalog": 8001, "provisioner": 8002, "secrets": 8003, "cicd": 8004, "notifier": 8005}
NAME = "demo-api"
_LACKING = why_not()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(bool(_LACKING), reason=_LACKING or "nothing is lacking"),
]


@pytest.fixture(scope="module")
def pod() -> Iterator[Pod]:
    with running_pod() as running:
        running.up()
        yield running


def _ask(pod: Pod, url: str, *, host: str = "") -> str:
    """What a server answers to somebody in another container, headers first."""
    named = ("--header", f"Host: {host}") if host else ()
    code, output = pod.execute("forge", "curl", "--silent", "--show-error", "--include", "--max-time", "5", *named, url)
    assert code == 0, f"{url}: {output}"
    return output


def _until(condition: Callable[[], bool], what: str, *, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def test_every_container_is_healthy_and_every_job_has_done_its_work(pod: Pod) -> None:
    jobs = {name for name, one in pod.containers.items() if one.told["restart"] == "no"}
    assert jobs == {"prepare", "database", "provision", "demo"} == pod.completed
    assert pod.healthy == pod.containers.keys() - jobs
    assert pod.healthy >= {*SERVICES, "nats", "postgres", "openbao", "dns", "ingress", "forge", "runtime", "people"}
    assert not pod.containers.keys() & WITHOUT_PROGRAM


def test_up_makes_the_environment_of_the_demo_and_says_where_it_is(pod: Pod) -> None:
    said = pod.log("demo")
    assert f"http://{NAME}.slipway.localhost:8015" in said
    assert f"http://forge.platform.localhost:8018/acme/{NAME}.git" in said
    assert "● ready" in said


def test_the_first_push_is_deployed_and_answers_through_the_ingress(pod: Pod) -> None:
    def answers() -> bool:
        answer = _ask(pod, "http://runtime:8015/healthz", host=f"{NAME}.slipway.localhost")
        return answer.startswith("HTTP/1.1 200") and "X-Slipway" not in answer

    _until(answers, f"{NAME} is not deployed:\n{pod.log('forge')[-2000:]}\n{pod.log('runtime')[-2000:]}", seconds=60)


def test_the_forge_tells_the_gateway_and_the_notifier_the_channel(pod: Pod) -> None:
    _until(lambda: "/api/v1/webhooks/forge" in pod.log("gateway"), pod.log("forge")[-2000:])
    inbox = ("http://inbox:8019/", "inbox.platform.localhost:8019")
    _until(lambda: NAME in _ask(pod, inbox[0], host=inbox[1]), pod.log("notifier")[-2000:])


def test_the_demo_asked_for_again_shows_what_is_there(pod: Pod) -> None:
    demo = pod.containers["demo"]
    code, said = pod.execute("gateway", *demo.argv, environment=demo.environment)
    assert code == 0, said
    assert "Creating" not in said
    assert NAME in said


def test_a_job_that_runs_again_changes_nothing(pod: Pod) -> None:
    jobs = ("prepare", "database", "provision")
    for name in jobs:
        pod.start(pod.containers[name])
    for name in jobs:
        assert pod.wait(name, seconds=30) == 0, pod.log(name)
        assert pod.log(name).endswith("nothing to change\n"), pod.log(name)


def test_the_environments_name_is_served_by_bind(pod: Pod) -> None:
    question = (
        "import dns.message, dns.query, socket;"
        f"q = dns.message.make_query('{NAME}.slipway.localhost', 'A');"
        "print(dns.query.udp(q, socket.gethostbyname('dns'), port=8017, timeout=5).answer)"
    )
    code, answer = pod.execute("provisioner", "python", "-c", question)
    assert code == 0, answer
    assert "127.0.0.1" in answer


def test_the_gateway_finds_the_openid_provider_under_the_name_that_people_have(pod: Pod) -> None:
    issuer = pod.containers["gateway"].environment["SLIPWAY_GATEWAY_ISSUER"]
    asking = f"import httpx; print(httpx.get('{issuer}/.well-known/openid-configuration', trust_env=False).text)"
    code, answer = pod.execute("gateway", "python", "-c", asking)
    assert code == 0, answer
    assert json.loads(answer)["issuer"] == issuer


def test_each_container_knows_its_own_secrets_and_nobody_elses(pod: Pod) -> None:
    for name, files in SHARES.items():
        held = {path.name: path.stat().st_mode & 0o777 for path in pod.volume(f"keys-{name}").iterdir()}
        assert held == dict.fromkeys(files, 0o600)


def test_a_service_can_change_nothing_but_what_it_is_given_and_has_no_privilege(pod: Pod) -> None:
    looking = (
        "import os\n"
        "for path in ('/', '/srv/slipway', '/srv/slipway/app', '/srv/slipway/keys', '/usr', '/etc'):\n"
        "    try: open(path + '/new', 'w'); print('could write to', path)\n"
        "    except OSError: pass\n"
        "open('/tmp/new', 'w')\n"
        "lines = open('/proc/self/status').read().splitlines()\n"
        "status = dict(line.split(':\\t') for line in lines if ':\\t' in line)\n"
        "print(os.getuid(), status['CapEff'], status['CapBnd'], status['NoNewPrivs'])\n"
    )
    for name in SERVICES:
        code, said = pod.execute(name, "python", "-c", looking)
        assert code == 0, said
        assert said == f"10001 {'0' * 16} {'0' * 16} 1\n"


def test_every_metric_of_the_dashboards_and_alerts_is_exported(pod: Pod) -> None:
    answers = {name: _ask(pod, f"http://{name}:{port}/metrics") for name, port in SERVICES.items()}
    texts = {name: answer.partition("\n\n")[2] for name, answer in answers.items()}
    exported = set().union(*(in_use.exported(text) for text in texts.values()))
    by_others = in_use.recorded() | in_use.of_spans() | in_use.BY_PROMETHEUS
    assert {use.metric for use in in_use.uses()} - by_others - exported == set()
    assert 'slipway_run_seconds_count{service="catalog",verdict="environment_ready"} 1.0' in texts["catalog"]
    for name, text in texts.items():
        assert f'slipway_ready{{service="{name}"}} 1.0' in text
