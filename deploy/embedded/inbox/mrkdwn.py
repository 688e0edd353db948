"""Slack's mrkdwn as safe HTML: bold, italic, strike, code, links, mentions, quotes, a few emoji.

Invariant: whatever the input, the output holds no tag or attribute but those written here, and links lead only to
http, https and mailto addresses. Escaping comes first;
formatting only ever wraps escaped text.
"""

import re

from markupsafe import Markup, escape

_SPECIAL = re.compile(r"```(?P<pre>.+?)```|`(?P<code>[^`\n]+)`|<(?P<link>[^<>\n]+)>", re.DOTALL)
_EMPHASIS = (
    (re.compile(r"(?<![\w*])\*(?=\S)([^*\n<>]+)(?<=\S)\*(?![\w*])"), r"<strong>\1</strong>"),
    (re.compile(r"(?<![\w_])_(?=\S)([^_\n<>]+)(?<=\S)_(?![\w_])"), r"<em>\1</em>"),
    (re.compile(r"(?<![\w~])~(?=\S)([^~\n<>]+)(?<=\S)~(?![\w~])"), r"<s>\1</s>"),
)
_EMOJI_NAME = re.compile(r":([a-z0-9_+\-]{1,40}):")
_WEB = ("http://", "https://", "mailto:")
# A placeholder is these two with a number between; no message may bring them along.
_OPEN, _CLOSE = "\ue000", "\ue001"
_PLACEHOLDER = re.compile(f"{_OPEN}([0-9]+){_CLOSE}")
# The emoji that say a state are drawn: not every machine has a font with them, and they take the page's colours.
_DRAWN = {
    "white_check_mark": ("good", "M3 8.5l3.5 3.5L13 4.5"),
    "x": ("bad", "M4 4l8 8M12 4l-8 8"),
    "warning": ("warn", "M8 2.5L14.5 13.5h-13zM8 6.5v3.2M8 11.6v.2"),
    "hourglass_flowing_sand": ("soft", "M4 2.5h8M4 13.5h8M5 2.5c0 4 6 7 6 11M11 2.5c0 4-6 7-6 11"),
    "wastebasket": ("soft", "M3 4.5h10M6.5 4.5v-2h3v2M4.5 4.5l.7 9h5.6l.7-9"),
    "alarm_clock": ("warn", "M8 4a5 5 0 110 10A5 5 0 018 4zM8 6.5V9l1.8 1.2M2.5 4L5 2M13.5 4L11 2"),
}
_EMOJI = {
    "broom": "🧹",
    "construction": "🚧",
    "eyes": "👀",
    "heavy_check_mark": "✔️",
    "link": "🔗",
    "lock": "🔒",
    "no_entry": "⛔",
    "rocket": "🚀",
    "rotating_light": "🚨",
    "stopwatch": "⏱️",
    "tada": "🎉",
    "+1": "👍",
}


def render(text: str, channels: dict[str, str] | None = None) -> Markup:
    """`text` as HTML; `channels` gives the names for `<#C…>` mentions by channel id."""
    kept: list[Markup] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(_special(match, channels or {}))
        return f"{_OPEN}{len(kept) - 1}{_CLOSE}"

    clean = text.replace(_OPEN, "").replace(_CLOSE, "")
    lines = [_line(line) for line in _SPECIAL.sub(keep, clean).split("\n")]
    html = _PLACEHOLDER.sub(lambda match: str(kept[int(match[1])]), _joined(lines))
    return Markup(html)  # noqa: S704 - every part was escaped above


def plain(text: str) -> Markup:
    """A plain_text object: escaped, with emoji and line breaks."""
    return Markup("<br>").join(Markup(_emoji(str(escape(line)))) for line in text.split("\n"))  # noqa: S704 - escaped


def unescape(text: str) -> str:
    """Slack's three entities back to what they stand for (and no others)."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _line(line: str) -> tuple[bool, str]:
    """Whether the line is a quotation, and its HTML."""
    raw = unescape(line)
    quoted = raw.startswith(">")
    html = str(escape(raw[1:].lstrip() if quoted else raw))
    for pattern, replacement in _EMPHASIS:
        html = pattern.sub(replacement, html)
    return quoted, _emoji(html)


def _joined(lines: list[tuple[bool, str]]) -> str:
    parts: list[str] = []
    in_quote = False
    for number, (quoted, html) in enumerate(lines):
        if quoted != in_quote:
            parts.append("<blockquote>" if quoted else "</blockquote>")
        elif number:
            parts.append("<br>")
        parts.append(html)
        in_quote = quoted
    return "".join(parts) + ("</blockquote>" if in_quote else "")


def _special(match: re.Match[str], channels: dict[str, str]) -> Markup:
    if match["pre"] is not None:
        return Markup("<pre>{}</pre>").format(unescape(match["pre"]).strip("\n"))
    if match["code"] is not None:
        return Markup("<code>{}</code>").format(unescape(match["code"]))
    target, _, label = match["link"].partition("|")
    target, label = unescape(target), unescape(label)
    if target.startswith("#"):
        return Markup('<span class="mention">#{}</span>').format(label or channels.get(target[1:], target[1:]))
    if target.startswith(("@", "!")):
        return Markup('<span class="mention">@{}</span>').format(label.removeprefix("@") or target[1:])
    if target.lower().startswith(_WEB):
        return Markup('<a href="{}" rel="noopener noreferrer nofollow">{}</a>').format(target, label or target)
    return escape(f"<{match['link']}>")


def _emoji(html: str) -> str:
    return _EMOJI_NAME.sub(lambda match: _picture(match[1]), html)


def _picture(name: str) -> str:
    if name not in _DRAWN:
        return _EMOJI.get(name, f":{name}:")
    look, path = _DRAWN[name]
    return f'<svg class="emoji {look}" viewBox="0 0 16 16" role="img" aria-label="{name}"><path d="{path}"/></svg>'
