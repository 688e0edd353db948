"""Failures in Slack's words: an HTTP 200 whose body says `{"ok": false, "error": <code>}`."""


class SlackError(Exception):
    """`code` is one of Slack's error codes; `fields` are added to the answer."""

    def __init__(self, code: str, **fields: object) -> None:
        super().__init__(code)
        self.code = code
        self.fields = fields


class RateLimitedError(SlackError):
    """Slack's HTTP 429; `retry_after_seconds` is its Retry-After header."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__("ratelimited")
        self.retry_after_seconds = retry_after_seconds
