"""What a deployment that did not work is called, decided in one place: a stable code, and words for the person."""

from collections.abc import Awaitable
from typing import Final

from deploy.embedded.runtime.application import NotHealthyError
from deploy.embedded.runtime.ingress import IngressError
from deploy.embedded.runtime.turns import SupersededError
from deploy.embedded.runtime.unpacking import UnusableReleaseError
from deploy.embedded.runtime.vault import SecretsRefusedError

_WORDS: Final = {
    UnusableReleaseError: ("unusable_release", "{0}"),
    SecretsRefusedError: ("secrets_refused", "the environment's secrets are not there: {0}"),
    IngressError: ("no_route", "{0}"),
    SupersededError: ("superseded", "a newer deployment came before this one was live"),
}


async def attempted(attempt: Awaitable[None]) -> tuple[str, str]:
    """Why an attempt failed: a code and words; both empty where it did not."""
    try:
        await attempt
    except NotHealthyError as error:
        return error.code, str(error)
    except tuple(_WORDS) as error:
        code, words = _WORDS[type(error)]
        return code, words.format(error)
    except OSError as error:
        return "no_room", f"the release could not be kept: {error.strerror}"
    return "", ""
