"""Parts of the Terraform provider that need no machine."""

import re
from pathlib import Path

import pytest
from tf.utils import Diagnostics

from services.provisioner.adapters.terraform_provider.access import Access, read_tsig_key
from services.provisioner.adapters.terraform_provider.marks import Mark, Refused, check_ours
from services.provisioner.adapters.terraform_provider.placeholder import page
from services.provisioner.adapters.terraform_provider.provider import SlipwayProvider


@pytest.mark.parametrize(
    ("environment", "incarnation"),
    [
        ("", "x"),
        ("a b", "x"),
        ("A", "x"),
        ("a\n", "x"),
        ("-a", "x"),
        ("a", ""),
        ("a", "x y"),
        ("a", "x\n"),
        ("a", "x" * 65),
    ],
)
def test_a_mark_that_could_not_be_read_back_is_refused(environment: str, incarnation: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        Mark(environment, incarnation)


def test_a_mark_is_read_back_exactly_or_not_at_all() -> None:
    mark = Mark("demo-api", "018f-1")
    assert Mark.parse(str(mark)) == mark
    for text in (None, "", "slipway", f"{mark} ", f" {mark}", f"{mark}\n", str(mark).upper()):
        assert Mark.parse(text) is None


@pytest.mark.parametrize("found", [None, "", "a comment", str(Mark("demo-api", "2")), str(Mark("other", "1"))])
def test_what_does_not_carry_our_mark_is_refused(found: str | None) -> None:
    with pytest.raises(Refused, match="left untouched"):
        check_ours("schema x", Mark("demo-api", "1"), found)


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("database", {"name": 'x"; DROP SCHEMA public'}),
        ("database", {"name": "pg_catalog"}),
        ("database", {"name": "public"}),
        ("dns_record", {"name": "*.slipway.localhost"}),
        ("dns_record", {"name": "a\n.slipway.localhost"}),
        ("dns_record", {"type": "TXT"}),
        ("dns_record", {"type": "A", "value": "::1"}),
        ("dns_record", {"type": "AAAA", "value": "::0001"}),
        ("dns_record", {"ttl": -1}),
        ("route", {"hostname": "*.slipway.localhost"}),
        ("route", {"hostname": "{env.HOME}"}),
        ("route", {"hostname": "a:80"}),
        ("namespace", {"name": "../x"}),
        ("namespace", {"name": "."}),
        ("namespace", {"name": "x/y"}),
        ("namespace", {"environment": "Not A Label"}),
    ],
)
def test_a_value_that_could_do_harm_is_refused_before_anything_is_made(kind: str, config: dict[str, object]) -> None:
    provider = SlipwayProvider(Access())
    resource = next(found for found in provider.get_resources() if found.get_name() == kind)(provider)
    diagnostics = Diagnostics()
    resource.validate(diagnostics, f"slipway_{kind}", config)
    assert diagnostics.has_errors()


def test_the_page_shows_what_was_typed_and_nothing_of_it_acts() -> None:
    text = page("demo-api", "http://forge.test/acme/de mo.git", "x';{env.HOME}<script>$(id)")
    assert "{" not in text
    assert "}" not in text
    assert "<script" not in text
    assert "git clone &#x27;http://forge.test/acme/de mo.git&#x27;" in text
    assert "cd &#x27;de mo&#x27;" in text


def test_the_page_needs_nothing_from_anywhere() -> None:
    text = page("demo-api", "http://forge.test/acme/demo.git", "main")
    assert re.findall(r"(?:src|href)=", text) == []
    assert "git push origin main" in text


@pytest.mark.parametrize(
    "text",
    [
        'key "slipway" {\n\talgorithm hmac-sha256;\n\tsecret "c2VjcmV0c2VjcmV0";\n};\n',
        "slipway:hmac-sha256:c2VjcmV0c2VjcmV0\n",
    ],
)
def test_a_key_file_is_read_in_either_form(tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_text(text)
    name, algorithm, secret = read_tsig_key(tmp_path / "key")
    assert (name, algorithm, secret.get_secret_value()) == ("slipway", "hmac-sha256", "c2VjcmV0c2VjcmV0")


@pytest.mark.parametrize("text", ["", "hunter2", "a:b:c:hunter2", "slipway:hmac-sha256:hunter2!"])
def test_a_broken_key_file_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_text(text)
    with pytest.raises(ValueError, match="tsig-keygen") as refused:
        read_tsig_key(tmp_path / "key")
    assert "hunter2" not in str(refused.value)
