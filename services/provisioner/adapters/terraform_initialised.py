"""What `terraform init` has made of a configuration, for the next directory that has the same one.

Where modules lie beside the root and the provider is served by us, `init` writes two small files, the same for every
environment of a golden path, and starting Terraform for that costs as much as a plan. Terraform may go on in a
directory that was initialised elsewhere if its `.terraform` is there ("Running Terraform in automation").

Invariants: what is given away was made by this process's own Terraform out of the same configuration, values aside; a
directory for which a module or a provider had to be fetched is initialised by Terraform itself.
"""

import shutil
from collections import OrderedDict
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Final

from chassis import tracing
from services.provisioner.adapters.terraform_workspace import write
from services.provisioner.ports import Files

_MADE: Final = ".terraform"
_PLAIN: Final = frozenset({f"{_MADE}/modules/modules.json", f"{_MADE}/terraform.tfstate"})
"""Which modules lie where, and which backend is used: all that there is where nothing had to be fetched."""
_CONFIGURATION: Final = (".tf", ".tf.json", ".hcl")
_MOST: Final = 64


class Initialised:
    """Remembers what `init` made. Safe to share between threads."""

    def __init__(self) -> None:
        self._made: OrderedDict[str, Files] = OrderedDict()
        self._lock = Lock()

    def give(self, directory: Path, files: Files) -> bool:
        """Make `directory`, which holds `files`, as `init` would; False where that is not known."""
        with self._lock:
            made = self._made.get(_fingerprint(files))
        if made is None:
            return False
        with tracing.span("terraform init", attributes={"slipway.reused": True}):
            shutil.rmtree(directory / _MADE, ignore_errors=True)
            for path, content in made.items():
                target = directory / path
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                write(target, content)
        return True

    def keep(self, directory: Path, files: Files) -> None:
        """Remember what `init` has just made in `directory`, which holds `files`."""
        found = {path.relative_to(directory).as_posix() for path in (directory / _MADE).rglob("*") if path.is_file()}
        if not found <= _PLAIN or (directory / ".terraform.lock.hcl").exists():
            return
        made = {path: (directory / path).read_bytes() for path in found}
        with self._lock:
            self._made[_fingerprint(files)] = made
            while len(self._made) > _MOST:
                self._made.popitem(last=False)


def _fingerprint(files: Files) -> str:
    """Of everything that `init` reads."""
    digest = sha256()
    for path, content in sorted(files.items()):
        if path.endswith(_CONFIGURATION):
            digest.update(f"{path}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()
