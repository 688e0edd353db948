"""The fence around a job, by itself: what a program behind it can see, write and leave behind."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from deploy.embedded.forge.git import Git
from deploy.embedded.forge.settings import ForgeSettings
from deploy.embedded.forge.workflows.sandbox import Rooms, Sandbox


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A platform's home with a key in it, and the forge's data below it."""
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "a.key").write_text("very secret")
    (tmp_path / "data" / "forge").mkdir(parents=True)
    (tmp_path / "data" / "forge" / "forge.db").write_text("very secret")
    return tmp_path


@pytest.fixture
def sandbox(home: Path) -> Sandbox:
    data = home / "data" / "forge"
    settings = ForgeSettings(data=data, tokens_file=home / "keys" / "a.key", actions_hidden=str(home))
    made = Sandbox(settings, Git(data, pack_limit_bytes=1024), data)
    if not made.is_fenced:
        pytest.skip("this kernel allows no user namespaces")
    return made


@pytest.fixture
def rooms(sandbox: Sandbox) -> Iterator[Rooms]:
    made = sandbox.rooms(1)
    made.make()
    yield made
    made.remove()
    assert not made.root.exists()


@pytest.fixture
def run(sandbox: Sandbox, rooms: Rooms) -> Callable[[str], str]:
    def behind(script: str) -> str:
        process = sandbox.start(rooms, ["/bin/sh", "-c", f"exec 2>&1; {script}"], sandbox.environment(rooms))
        out, _ = process.communicate(timeout=60)
        return out.decode()

    return behind


def test_the_platforms_home_is_empty_but_for_the_jobs_own_rooms(home: Path, run: Callable[[str], str]) -> None:
    assert "very secret" not in run(f"cat {home}/keys/a.key {home}/data/forge/forge.db")
    assert run(f"cd {home}; find . -maxdepth 4 | sort").split() == [
        ".",
        "./data",
        "./data/forge",
        "./data/forge/actions",
        "./data/forge/actions/cache",
        "./data/forge/actions/jobs",
    ]


def test_a_job_writes_to_its_own_rooms_and_to_nothing_else(rooms: Rooms, run: Callable[[str], str]) -> None:
    own = f"touch {rooms.work}/a /tmp/b $HOME/c $npm_config_cache-d && echo written"
    assert run(own).strip() == "written"
    assert (rooms.temporary / "b").exists()
    for path in ("/etc/slipway", "/var/tmp/slipway", "/dev/slipway", str(Path(__file__).parent / "slipway")):
        refused = run(f"touch {path}")
        # A checkout under /tmp is out of sight altogether.
        assert "Read-only file system" in refused or "No such file or directory" in refused
        assert not Path(path).exists()
    assert run("echo x > /dev/null && head -c1 /dev/zero | wc -c").strip() == "1"


@pytest.mark.parametrize(
    "attempt",
    [
        "umount {home}",
        "mount -o remount,rw /",
        "mount -t tmpfs none /mnt",
        "unshare --user --map-root-user --mount sh -c 'umount {home}; cat {home}/keys/a.key; mount -o remount,rw /'",
        "cat /proc/*/root{home}/keys/a.key",
        "cat /proc/1/root{home}/keys/a.key",
        "nsenter --mount=/proc/1/ns/mnt cat {home}/keys/a.key",
        "chroot / cat {home}/keys/a.key",
    ],
)
def test_a_job_cannot_take_the_fence_down(attempt: str, home: Path, run: Callable[[str], str]) -> None:
    said = run(f"{attempt.format(home=home)}; cat {home}/keys/a.key; touch /etc/slipway && echo taken")
    assert "very secret" not in said
    assert "taken" not in said
    assert (home / "keys" / "a.key").read_text() == "very secret"


def test_a_job_has_no_power_and_sees_no_other_process(run: Callable[[str], str]) -> None:
    assert "CapEff:\t0000000000000000" in run("grep CapEff /proc/self/status")
    assert "NoNewPrivs:\t1" in run("grep NoNewPrivs /proc/self/status")
    assert str(os.getpid()) not in run("ls /proc | grep '^[0-9]*$'").split()


def test_nothing_of_a_job_outlives_it(sandbox: Sandbox, rooms: Rooms) -> None:
    long = str(291_000_000 + os.getpid())  # that no other run of this test on this machine has
    script = f"(setsid sleep {long} &) ; (trap '' TERM HUP; sleep {long}) & sleep {long}"
    process = sandbox.start(rooms, ["/bin/sh", "-c", f"echo on; {script}"], sandbox.environment(rooms))
    assert process.stdout is not None
    assert process.stdout.readline() == b"on\n"
    sandbox.end(process, "")
    process.stdout.close()
    assert not [each for each in psutil.process_iter(["cmdline"]) if each.info["cmdline"] == ["sleep", long]]


def test_the_exit_code_is_the_programs(sandbox: Sandbox, rooms: Rooms) -> None:
    process = sandbox.start(rooms, ["/bin/sh", "-c", "exit 7"], {})
    process.communicate(timeout=60)
    assert process.returncode == 7


def test_a_jobs_environment_is_what_is_written_here(run: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_SECRET", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    names = {line.partition("=")[0] for line in run("/usr/bin/env").splitlines()}
    assert names <= {
        *("LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "PATH", "HOME", "TMPDIR", "TERM", "PAGER"),
        *("GIT_PAGER", "GIT_TERMINAL_PROMPT", "npm_config_cache", "npm_config_update_notifier"),
        *("PWD", "OLDPWD", "SHLVL", "_"),
    }
    assert subprocess.run(["/usr/bin/env"], capture_output=True, text=True, check=True).stdout.count("SLIPWAY_SECRET")
