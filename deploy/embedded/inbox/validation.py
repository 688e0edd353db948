"""What Slack accepts in a message, so that a message which passes here passes there.

Limits are those of Slack's reference for chat.postMessage, Block Kit and message metadata. Every failure is a
SlackError with Slack's code.
"""

from typing import Any

from deploy.embedded.inbox.errors import SlackError

_TEXT_LIMIT = 40_000
_BLOCKS_LIMIT = 50
_SECTION_LIMIT = 3000
_FIELD_LIMIT = 2000
_FIELDS_LIMIT = 10
_HEADER_LIMIT = 150
_CONTEXT_ELEMENTS_LIMIT = 10
_ACTION_ELEMENTS_LIMIT = 25
_BUTTON_TEXT_LIMIT = 75
_URL_LIMIT = 3000
_METADATA_KEYS = {"event_type", "event_payload"}


def content(text: object, blocks: object) -> tuple[str, list[dict[str, Any]] | None]:
    """The text and blocks of a message: at least one of them, both of their form and within their limits."""
    if text is not None and not isinstance(text, str):
        raise SlackError("invalid_arguments")
    if not text and not blocks:
        raise SlackError("no_text")
    if text and len(text) > _TEXT_LIMIT:
        raise SlackError("msg_too_long")
    return text or "", _blocks(blocks) if blocks else None


def metadata(value: object) -> dict[str, Any] | None:
    """`{"event_type": str, "event_payload": {...}}`, or None when absent."""
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) - _METADATA_KEYS:
        raise SlackError("invalid_metadata_format")
    if not isinstance(value.get("event_type"), str) or not isinstance(value.get("event_payload"), dict):
        raise SlackError("invalid_metadata_format")
    return value


def _blocks(value: object) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(block, dict) for block in value):
        raise SlackError("invalid_blocks_format")
    _require(len(value) <= _BLOCKS_LIMIT, f"no more than {_BLOCKS_LIMIT} blocks")
    for number, block in enumerate(value):
        check = _CHECKS.get(str(block.get("type")))
        _require(check is not None, f"unsupported type: {str(block.get('type'))[:40]!r} [/blocks/{number}]")
        if check is not None:
            check(block, f"/blocks/{number}")
    return value


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise SlackError("invalid_blocks", errors=[message], response_metadata={"messages": [f"[ERROR] {message}"]})


def _text(value: object, where: str, limit: int, kinds: tuple[str, ...] = ("plain_text", "mrkdwn")) -> None:
    shaped = isinstance(value, dict) and value.get("type") in kinds and isinstance(value.get("text"), str)
    _require(shaped, f"expected a text object of type {' or '.join(kinds)} [{where}]")
    if isinstance(value, dict):
        _require(0 < len(value["text"]) <= limit, f"text must have 1 to {limit} characters [{where}/text]")


def _list(value: object, where: str, limit: int) -> list[Any]:
    if not isinstance(value, list):
        raise SlackError("invalid_blocks", errors=[f"expected a list [{where}]"])
    _require(0 < len(value) <= limit, f"must have 1 to {limit} items [{where}]")
    return value


def _section(block: dict[str, Any], where: str) -> None:
    _require("text" in block or "fields" in block, f"a section needs text or fields [{where}]")
    if "text" in block:
        _text(block["text"], f"{where}/text", _SECTION_LIMIT)
    if "fields" in block:
        for field in _list(block["fields"], f"{where}/fields", _FIELDS_LIMIT):
            _text(field, f"{where}/fields", _FIELD_LIMIT)


def _header(block: dict[str, Any], where: str) -> None:
    _text(block.get("text"), f"{where}/text", _HEADER_LIMIT, ("plain_text",))


def _context(block: dict[str, Any], where: str) -> None:
    for element in _list(block.get("elements"), f"{where}/elements", _CONTEXT_ELEMENTS_LIMIT):
        _text(element, f"{where}/elements", _SECTION_LIMIT)


def _actions(block: dict[str, Any], where: str) -> None:
    for element in _list(block.get("elements"), f"{where}/elements", _ACTION_ELEMENTS_LIMIT):
        is_button = isinstance(element, dict) and element.get("type") == "button"
        _require(is_button, f"only buttons are supported [{where}/elements]")
        _text(element.get("text"), f"{where}/elements/text", _BUTTON_TEXT_LIMIT, ("plain_text",))
        url = element.get("url", "https://")
        web = isinstance(url, str) and url.startswith(("https://", "http://")) and len(url) <= _URL_LIMIT
        _require(web, f"url must be a web address of at most {_URL_LIMIT} characters [{where}/elements/url]")


def _divider(block: dict[str, Any], where: str) -> None:
    _require("text" not in block, f"a divider has no text [{where}]")


_CHECKS = {
    "section": _section,
    "header": _header,
    "context": _context,
    "actions": _actions,
    "divider": _divider,
}
