"""Saying under a pull request how its preview is, in one comment; and following the pull request when it moves.

Invariants
- There is one comment of ours, however often something is said: it is found by its mark, also after an answer was lost.
- It is edited only where what it says is another thing, and never to something older.
"""

from dataclasses import dataclass
from datetime import datetime

import structlog

from chassis.identity import EventKey
from contracts.signals import PreviewNote, PreviewNoted
from services.cicd.domain import Mark, users_of
from services.cicd.domain.previews import (
    Comment,
    Said,
    Verdict,
    after,
    being_deleted,
    being_made,
    identity_of,
    mark,
    plain,
    read,
    text_of,
)
from services.cicd.handlers.mirroring import Mirror
from services.cicd.handlers.settling import settle
from services.cicd.ports import Conversations, Forge

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class PreviewComments:
    """Keeps the comments. Every deed is safe to repeat."""

    forge: Forge
    conversations: Conversations
    key: EventKey
    platform_url: str

    async def tell(self, verdict: Verdict) -> None:
        """Say how a preview is after a verdict. Nothing happens for what is no preview of a pull request."""
        spec = verdict.data.spec
        if spec.pull_request is not None:
            await self._put(spec.repository, spec.pull_request.number, after(verdict, self.platform_url))

    async def note(self, noted: PreviewNoted) -> None:
        """Say what was decided, and do what follows from it here."""
        told = noted.data
        if told.what == "refused" or noted.subject is None:
            who = f"{plain(told.person)} asked for it. " if told.person else ""
            said = Said(noted.time, "", f"Not done. {who}{plain(told.reason)}")
        elif told.what == "creating":
            said = being_made(noted.subject, noted.time, told.commit)
        elif told.what == "deleting":
            said = being_deleted(noted.subject, noted.time)
        elif told.what in {"deployed", "not_deployed"}:
            said = Said(noted.time, "", await self._of_deployment(told))
        else:
            shown = await self._move(noted.subject, told, noted.time)
            if shown is None:
                return
            said = Said(noted.time, "", f"Commit `{shown[:12]}` is being deployed.")
        await self._put(told.repository, told.number, said)

    async def _of_deployment(self, told: PreviewNote) -> str:
        """What is said of a deployment, by the commit of the pull request that is in it."""
        commit = told.commit or ""
        found = await self.forge.history(told.repository, commit, limit=1)
        shown = found[0].parents[0] if found and found[0].parents else commit
        log = f" ([log]({told.log_url}))" if told.log_url else ""
        if told.what == "deployed":
            return f"Deployed commit `{shown[:12]}`{log}."
        return f"Commit `{shown[:12]}` could not be deployed{log}. What was live before still is."

    async def _move(self, environment: str, told: PreviewNote, at: datetime) -> str | None:
        """Have the preview show what it should now; which commit that is, or None where there is nothing to move: a
        preview that is being made shows the newest commit by itself."""
        variables = await self.forge.variables(told.repository)
        ours = [one for one in users_of(variables).values() if one.environment == environment]
        if not ours:
            return None
        owner: Mark = ours[0]
        mirror = Mirror(self.forge, told.repository, told.number, owner)
        commit = await mirror.show(None, at, agreed=told.commit)
        return commit.parents[0] if commit is not None and commit.parents else None

    async def _put(self, repository: str, number: int, said: Said) -> None:
        identity = identity_of(self.key.derive, repository, number)
        found = await self.conversations.find_comment(repository, number, mark(identity))
        before = read(identity, found.body) if found is not None else None
        after_it = said.over(before)
        if after_it is None:
            return
        body = text_of(identity, after_it)
        if found is not None:
            if found.body != body:
                await self.conversations.edit_comment(repository, found.id, body)
            return

        async def write() -> Comment:
            return await self.conversations.add_comment(repository, number, body)

        async def find() -> Comment | None:
            return await self.conversations.find_comment(repository, number, mark(identity))

        await settle(write, find)
        _log.info("commented on a pull request", repository=repository, number=number)
