"""Processes that die in the middle of a deed."""

from typing import Any

from services.secrets.handlers import Handlers
from services.secrets.ports import Vault


class DeadError(BaseException):
    """The process is gone; nothing in it may catch that."""


class Dying:
    """A vault whose process dies at the n-th call: before it takes effect, or after."""

    def __init__(self, vault: Vault, calls: int, *, after_effect: bool) -> None:
        self._vault = vault
        self._left = calls
        self._after_effect = after_effect

    def __getattr__(self, method: str) -> Any:
        async def call(*arguments: Any) -> Any:
            self._left -= 1
            if self._left < 0 or (self._left == 0 and not self._after_effect):
                raise DeadError
            result = await getattr(self._vault, method)(*arguments)
            if self._left <= 0:
                raise DeadError
            return result

        return call


async def dies(handlers: Handlers, deed: str, event: Any) -> bool:
    """Whether the process died before the deed was done."""
    try:
        await getattr(handlers, deed)(event)
    except DeadError:
        return True
    return False
