"""A manifest as people push it: what is read back, and what is refused without being repeated."""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.failures import PermanentError
from contracts.values import EnvironmentSpec
from services.provisioner.domain import (
    MANIFEST,
    VARIABLES,
    Platform,
    incarnation_of,
    read_manifest,
    render,
    render_again,
    says_the_same,
)
from services.provisioner.domain.manifest import write_manifest
from tests.machines import incarnation, spec_of

PLATFORM = Platform("slipway.localhost", "127.0.0.1", 8015, "127.0.0.1", 8012, "apps", "http://127.0.0.1:8018")
LIFE = incarnation(1)

GOOD = f"""\
# what ann wants
apiVersion: slipway/v1
kind: Environment
metadata: {{name: demo-api, incarnation: {LIFE}}}
spec:
  kind: preview
  golden_path: nodejs-api
  golden_path_version: 1.0.0
  owner: {{person: ann, team: web}}
  repository: acme/demo-api
  branch: main
  parameters: {{database: true, instances: 2, memory_mib: 256}}
  expires_at: 2026-12-01T00:00:00Z
"""


def read(text: str | bytes, name: str = "demo-api") -> EnvironmentSpec:
    content = text if isinstance(text, bytes) else text.encode()
    return read_manifest({MANIFEST: content}, name).spec


def with_line(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def with_parameters(parameters: str) -> str:
    return with_line("{database: true, instances: 2, memory_mib: 256}", parameters)


SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: 1e-30 < abs(number) < 1e30),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    st.sampled_from(["no", "on", "yes", "null", "~", "1:30", "0o17", "1e5", "010", "2026-11-23", "", " x", "=", "<<"]),
)


@given(st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True), SCALARS, max_size=5))
def test_what_the_platform_writes_is_read_back_equal(parameters: dict[str, Any]) -> None:
    spec = spec_of("demo-api").model_copy(update={"parameters": parameters})
    found = read_manifest({MANIFEST: write_manifest(spec, LIFE)}, "demo-api")
    assert found.spec == spec
    assert {name: type(value) for name, value in found.spec.parameters.items()} == {
        name: type(value) for name, value in parameters.items()
    }
    assert found.incarnation == LIFE


def test_what_a_person_writes_by_hand_is_read() -> None:
    spec = read(GOOD)
    assert spec.parameters == {"database": True, "instances": 2, "memory_mib": 256}
    assert spec.owner.person == "ann"
    assert spec.expires_at is not None


@pytest.mark.parametrize("word", ["no", "on", "yes", "off", "1:30", "2026-11-23", "0o17", "1_000", ".inf", ".nan"])
def test_a_word_stays_a_word(word: str) -> None:
    """What YAML 1.1 makes of it is nobody's intention."""
    assert read(with_parameters(f"{{motto: {word}}}")).parameters == {"motto": word}


SECRET = "hunter2"
HOSTILE: dict[str, str | bytes] = {
    "a python object": with_line("kind: preview", f"kind: !!python/object/apply:os.system ['{SECRET}']"),
    "a tag": with_line("kind: preview", "kind: !!str preview"),
    "an alias bomb": "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n" + GOOD,
    "an anchor": with_line("branch: main", "branch: &b main"),
    "a merge": with_line("branch: main", "branch: main\n  <<: {kind: staging}"),
    "a key twice": with_line("branch: main", f"branch: main\n  branch: {SECRET}"),
    "an unknown key": with_line("branch: main", f"branch: main\n  {SECRET}: 1"),
    "another key at the top": GOOD + f"status: {SECRET}\n",
    "two documents": GOOD + "---\n" + GOOD,
    "deep nesting": with_parameters("[" * 5000 + "]" * 5000),
    "many things": with_parameters("[" + "1, " * 5000 + "]"),
    "a large file": GOOD + "#" * 200_000,
    "a parameter that is a list": with_parameters("{motto: [a, b]}"),
    "a parameter that is nothing": with_parameters("{motto: null}"),
    "an integer of 5,000 digits": with_parameters("{motto: " + "9" * 5000 + "}") + "x: y",
    "a large integer": with_parameters("{motto: 9007199254740993}"),
    "an infinite number": with_parameters("{motto: 1.0e+999}"),
    "a parameter's name": with_parameters(f"{{'x}}${{file(\"/etc/passwd\")}}': {SECRET}}}"),
    "a name of its own in spec": with_line("branch: main", "branch: main\n  name: other"),
    "another environment's name": with_line("name: demo-api,", "name: other-api,"),
    "no incarnation": with_line(f", incarnation: {LIFE}", ""),
    "an incarnation that is none": with_line(str(LIFE), SECRET),
    "a branch that is an argument": with_line("branch: main", f"branch: --upload-pack={SECRET}"),
    "a branch that is a truth": with_line("branch: main", "branch: true"),
    "a repository elsewhere": with_line("acme/demo-api", f"https://github.com@{SECRET}.test/x"),
    "an owner with more": with_line("team: web", f"team: web, token: {SECRET}"),
    "a moment without a zone": with_line("2026-12-01T00:00:00Z", "2026-12-01T00:00:00"),
    "another version of the format": with_line("slipway/v1", f"slipway/{SECRET}"),
    "no mapping": f"- {SECRET}",
    "a word": SECRET,
    "nothing": "",
    "a complex key": with_line("branch: main", "branch: main\n  ? [a]\n  : b"),
    "no YAML": f"a: [{SECRET}",
    "no UTF-8": b"\xff\xfe" + GOOD.encode(),
    "a NUL": GOOD.replace("main", "ma\0in"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_anything_else_is_refused_and_not_repeated(what: str) -> None:
    with pytest.raises(PermanentError) as refused:
        read(HOSTILE[what])
    assert refused.value.code == "bad_manifest"
    assert SECRET not in str(refused.value)
    assert len(str(refused.value)) < 1000
    assert refused.value.__suppress_context__


def test_a_directory_without_a_manifest_is_refused() -> None:
    with pytest.raises(PermanentError):
        read_manifest({}, "demo-api")


def test_a_directory_whose_two_files_disagree_belongs_to_nobody() -> None:
    """The platform writes both, so somebody else had a hand in it, and an older version tells whose it is."""
    files = dict(render(spec_of("demo-api"), LIFE, {}, PLATFORM))
    assert incarnation_of(files) == str(LIFE)
    for broken in (
        {MANIFEST: files[MANIFEST].replace(str(LIFE).encode(), str(UUID(int=7)).encode())},
        {VARIABLES: files[VARIABLES].replace(str(LIFE).encode(), str(UUID(int=7)).encode())},
        {VARIABLES: b"]["},
        {VARIABLES: b"[" * 100_000},
        {VARIABLES: b"[]"},
        {MANIFEST: b"a: &a [*a]"},
    ):
        assert incarnation_of(files | broken) is None


def test_two_spellings_say_the_same_and_two_values_do_not() -> None:
    files = dict(render(spec_of("demo-api"), LIFE, {"environment/main.tf": b"x"}, PLATFORM))
    by_hand = files | {
        MANIFEST: b"# mine\n" + files[MANIFEST],
        VARIABLES: files[VARIABLES].replace(b"\n", b"\n  "),
    }
    assert says_the_same("demo-api", files, by_hand)
    for other in (
        {VARIABLES: files[VARIABLES].replace(b'"database": true', b'"database": 1')},
        {VARIABLES: b"["},
        {"modules/environment/main.tf": b"y"},
        {"extra.tf": b""},
        {MANIFEST: b"x"},
        {MANIFEST: files[MANIFEST].replace(b"instances: 1", b"instances: 2")},
    ):
        assert not says_the_same("demo-api", files, files | other)


def test_another_state_of_the_same_golden_path_keeps_what_is_committed_beside_it() -> None:
    committed = dict(render(spec_of("demo-api"), LIFE, {"environment/main.tf": b"old"}, PLATFORM)) | {"extra.tf": b"#"}
    again = render_again(spec_of("demo-api", branch="next"), LIFE, committed, PLATFORM)
    assert again is not None
    assert (again["modules/environment/main.tf"], again["extra.tf"]) == (b"old", b"#")
    assert read_manifest(again, "demo-api").spec.branch == "next"


def test_another_version_another_life_or_a_broken_manifest_needs_the_golden_path_itself() -> None:
    committed = dict(render(spec_of("demo-api"), LIFE, {"environment/main.tf": b"old"}, PLATFORM))
    upgraded = spec_of("demo-api").model_copy(update={"golden_path_version": "1.1.0"})
    assert render_again(upgraded, LIFE, committed, PLATFORM) is None
    assert render_again(spec_of("demo-api"), incarnation(2), committed, PLATFORM) is None
    assert render_again(spec_of("demo-api"), LIFE, committed | {MANIFEST: b"x"}, PLATFORM) is None


@pytest.mark.parametrize("name", ['x}${file("/etc/passwd")}', "x\ny", "", "X", "a" * 41])
def test_a_parameters_name_that_is_no_plain_word_never_reaches_terraform(name: str) -> None:
    with pytest.raises(PermanentError) as refused:
        render(spec_of("demo-api", parameters={name: 1}), LIFE, {}, PLATFORM)
    assert refused.value.code == "bad_golden_path"
