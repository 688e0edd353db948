"""What `init` made is given to whoever has the same configuration, and to nobody else."""

from collections.abc import Mapping
from pathlib import Path

from services.provisioner.adapters.terraform_initialised import Initialised

FILES = {"main.tf.json": b"{}", "modules/dns/main.tf": b"# dns", "terraform.tfvars.json": b'{"name": "a"}'}
MADE = {".terraform/modules/modules.json": b'{"Modules":[]}', ".terraform/terraform.tfstate": b'{"version":3}'}


def directory_with(path: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def test_the_same_configuration_with_other_values_is_initialised_the_same(tmp_path: Path) -> None:
    known = Initialised()
    assert not known.give(tmp_path / "b", FILES)
    known.keep(directory_with(tmp_path / "a", MADE), FILES)
    stale = directory_with(tmp_path / "b", {".terraform/modules/left/main.tf": b"of an older version"})
    assert known.give(stale, FILES | {"terraform.tfvars.json": b'{"name": "b"}'})
    left = {path.relative_to(stale).as_posix() for path in stale.rglob("*") if path.is_file()}
    assert {name: (stale / name).read_bytes() for name in left} == MADE


def test_another_configuration_is_not(tmp_path: Path) -> None:
    known = Initialised()
    known.keep(directory_with(tmp_path / "a", MADE), FILES)
    assert not known.give(tmp_path / "b", FILES | {"modules/dns/main.tf": b"# newer"})


def test_what_had_to_be_fetched_is_fetched_by_terraform_itself(tmp_path: Path) -> None:
    fetched: tuple[dict[str, bytes], ...] = (
        {".terraform/providers/example/aws": b"a binary"},
        {".terraform/modules/vpc/main.tf": b"from a registry"},
        {".terraform.lock.hcl": b"provider"},
    )
    for number, more in enumerate(fetched):
        known = Initialised()
        known.keep(directory_with(tmp_path / str(number), MADE | more), FILES)
        assert not known.give(tmp_path / "other", FILES)
