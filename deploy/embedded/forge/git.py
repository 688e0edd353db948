"""Running Git: one environment, one configuration, argument lists only, output and time bounded.

Invariant: no argument that came from outside can be an option or a path: revisions are checked by `names` first, and
a repository's directory is made from its number. Children read from a pipe of ours and end when it closes, so none
outlives the forge, however it ends.
"""

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.embedded.forge.cat_file import Readers

ZERO_SHA: Final = "0" * 40
_TIMEOUT_SECONDS: Final = 60
_OUTPUT_LIMIT_BYTES: Final = 64 * 1024 * 1024

# `hideRefs`: pull requests' heads are ours to move. `fsckObjects`: nothing malformed enters. `autoDetach`: a
# collection of garbage that outlives its push would outlive the forge as well.
_CONFIGURATION: Final = """\
[core]
\thooksPath = {hooks}
[http]
\treceivepack = true
\tgetanyfile = false
[transfer]
\tfsckObjects = true
[receive]
\tmaxInputSize = {pack_limit_bytes}
\thideRefs = refs/pull
\tadvertisePushOptions = false
[uploadpack]
\tallowFilter = true
\tallowAnySHA1InWant = true
[gc]
\tautoDetach = false
[maintenance]
\tautoDetach = false
[protocol]
\tallow = never
[safe]
\tdirectory = *
[user]
\tname = Slipway forge
\temail = forge@users.noreply.localhost
"""
_REPOSITORY_CONFIGURATION: Final = """\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
"""
# Written whole before it is renamed, so a record is never read by half.
_POST_RECEIVE: Final = """\
#!/bin/sh
# Tells the forge which refs a push has moved: one line about the push, then Git's `old new ref` lines.
set -eu
{ printf '%s\\n' "$SLIPWAY_PUSH_BY"; cat; } >"$SLIPWAY_PUSH_FILE.part"
mv "$SLIPWAY_PUSH_FILE.part" "$SLIPWAY_PUSH_FILE"
"""
PROTECTED_FILE: Final = "protected-branches"
"""In a repository's directory: the refs that are neither rewritten nor removed, one a line."""
_UPDATE: Final = """\
#!/bin/sh
# Refuses to rewrite or remove a protected branch. Git hands over the ref, the old and the new commit.
[ -f "$GIT_DIR/protected-branches" ] || exit 0
grep --quiet --line-regexp --fixed-strings -e "$1" "$GIT_DIR/protected-branches" || exit 0
case "$3" in
*[!0]*) git merge-base --is-ancestor "$2" "$3" && exit 0; echo "Protected branch: it cannot be rewritten." >&2 ;;
*) echo "Protected branch: it cannot be deleted." >&2 ;;
esac
exit 1
"""


class GitError(Exception):
    """Git refused or failed; `message` is the last line it wrote."""

    def __init__(self, command: str, status: int, message: str) -> None:
        super().__init__(f"git {command} ended with {status}: {message}")
        self.status = status
        self.message = message


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it wrote."""

    status: int
    output: bytes


class Git:
    """The repositories under `data`: `repositories/<id>.git`, the shared configuration and the hooks."""

    def __init__(self, data: Path, *, pack_limit_bytes: int) -> None:
        self.root = data / "repositories"
        self.spool = data / "pushes"
        self._hooks = data / "hooks"
        for directory in (self.root, self.spool, self._hooks):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        configuration = data / "gitconfig"
        quoted = '"' + str(self._hooks).replace("\\", "\\\\").replace('"', '\\"') + '"'
        configuration.write_text(_CONFIGURATION.format(hooks=quoted, pack_limit_bytes=pack_limit_bytes))
        for name, script in {"post-receive": _POST_RECEIVE, "update": _UPDATE}.items():
            hook = self._hooks / name
            hook.write_text(script)
            hook.chmod(0o700)
        executable = shutil.which("git")
        if executable is None:
            raise GitError("--version", 127, "git is not installed: apt-get install git")
        self.executable = executable
        self.environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(data),
            "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": str(configuration),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
        }
        self.readers = Readers(self.executable, self.environment)

    def directory(self, repository_id: int) -> Path:
        """The bare repository with this number."""
        return self.root / f"{repository_id}.git"

    def run(
        self,
        repository_id: int,
        arguments: Sequence[str],
        *,
        stdin: bytes = b"",
        accept: tuple[int, ...] = (0,),
        limit_bytes: int = _OUTPUT_LIMIT_BYTES,
    ) -> Ran:
        """Run a plumbing command in a repository. Raises GitError for a status that is not in `accept`, for more
        than `limit_bytes` of output and after a minute."""
        command = [self.executable, f"--git-dir={self.directory(repository_id)}", *arguments]
        # Files at both ends but one: nobody waits for anybody, and output is read no further than its limit.
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as stderr:
            given.write(stdin)
            given.seek(0)
            process = subprocess.Popen(
                command, stdin=given, stdout=subprocess.PIPE, stderr=stderr, env=self.environment
            )
            timer = threading.Timer(_TIMEOUT_SECONDS, process.kill)
            timer.start()
            try:
                assert process.stdout is not None  # noqa: S101 - it is a pipe
                output = process.stdout.read(limit_bytes + 1)
                if len(output) > limit_bytes:
                    raise GitError(arguments[0], -1, f"wrote more than {limit_bytes} bytes")
                process.wait()
            finally:
                timer.cancel()
                process.kill()
                process.communicate()
            stderr.seek(0)
            lines = stderr.read(8192).decode("utf-8", "replace").strip().splitlines()
        if process.returncode not in accept:
            raise GitError(arguments[0], process.returncode, lines[-1] if lines else "no message")
        return Ran(process.returncode, output)

    def create(self, repository_id: int, full_name: str, default_branch: str) -> None:
        """Make an empty bare repository. A directory that is there already was left by a creation that never
        finished: numbers are not used again once committed."""
        target = self.directory(repository_id)
        shutil.rmtree(target, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=self.root) as temporary:
            new = Path(temporary) / "new"
            for directory in ("objects/info", "objects/pack", "refs/heads", "refs/tags"):
                (new / directory).mkdir(parents=True)
            (new / "HEAD").write_text(f"ref: refs/heads/{default_branch}\n")
            (new / "config").write_text(_REPOSITORY_CONFIGURATION)
            (new / "description").write_text(f"{full_name}\n")
            new.rename(target)

    def delete(self, repository_id: int) -> None:
        """Remove a repository's directory; nothing happens when it is gone."""
        self.readers.close(self.directory(repository_id))
        target = self.directory(repository_id)
        grave = self.root / f".deleted-{repository_id}"
        if target.exists():
            # Out of reach in one step: a fetch under way sees a whole repository or none.
            shutil.rmtree(grave, ignore_errors=True)
            target.rename(grave)
        shutil.rmtree(grave, ignore_errors=True)

    def close(self) -> None:
        """End every child that reads for us."""
        self.readers.close_all()
