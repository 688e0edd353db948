"""Which URLs may be called."""

from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from services.notifier.domain.receivers import RefusedUrlError, check, is_public, parse

CORPUS: Final[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[2] / "data" / "webhook_urls.yaml").read_text(encoding="utf-8")
)
LOOPBACK: Final = ip_network("127.0.0.0/8")
PUBLIC: Final = ip_address("93.184.215.14")


@pytest.mark.parametrize("url", CORPUS["refused"])
def test_what_is_no_plain_url_is_refused_as_it_is_written(url: str) -> None:
    with pytest.raises(RefusedUrlError) as refused:
        parse(url)

    assert refused.value.rule.startswith("must ")
    assert not url or url not in refused.value.rule


@pytest.mark.parametrize("url", CORPUS["leads_inside"])
def test_an_address_that_is_not_of_the_public_internet_is_refused(url: str) -> None:
    target = parse(url)
    assert target.literal is not None
    assert not is_public(target.literal)
    with pytest.raises(RefusedUrlError, match="SLIPWAY_NOTIFIER_WEBHOOKS_ALLOW"):
        check(target, [target.literal])


@pytest.mark.parametrize(("url", "kept"), CORPUS["taken"])
def test_an_honest_url_is_kept_in_one_spelling(url: str, kept: str) -> None:
    assert parse(url).url == kept
    assert parse(kept).url == kept


def test_one_bad_address_of_a_host_is_enough_to_refuse_it() -> None:
    with pytest.raises(RefusedUrlError):
        check(parse("https://hooks.test/"), [PUBLIC, ip_address("10.0.0.1")])

    check(parse("https://hooks.test/"), [PUBLIC])


def test_plain_http_is_for_networks_that_the_operator_allowed() -> None:
    inside = [ip_address("127.0.0.1"), ip_address("::ffff:127.0.0.1")]
    check(parse("http://localhost:9000/"), inside, [LOOPBACK])
    check(parse("https://localhost:9000/"), inside, [LOOPBACK])

    with pytest.raises(RefusedUrlError, match="https"):
        check(parse("http://hooks.test/"), [PUBLIC], [LOOPBACK])
    with pytest.raises(RefusedUrlError, match="https"):
        check(parse("http://hooks.test/"), [*inside, PUBLIC], [LOOPBACK])
    with pytest.raises(RefusedUrlError):
        check(parse("https://hooks.test/"), [ip_address("10.0.0.1")], [LOOPBACK])
