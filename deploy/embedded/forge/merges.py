"""REST: merging pull requests; and keeping pull requests in step with their branches."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import Field
from starlette.responses import Response

from deploy.embedded.forge import forks, history, pulls, threads
from deploy.embedded.forge.accounts import Principal
from deploy.embedded.forge.bare import RefMovedError
from deploy.embedded.forge.bodies import Body, json_body
from deploy.embedded.forge.clock import timestamp
from deploy.embedded.forge.context import Access, Forge, Readable, Writable
from deploy.embedded.forge.errors import ForgeError, not_found
from deploy.embedded.forge.git import ZERO_SHA
from deploy.embedded.forge.objects import Person
from deploy.embedded.forge.people import now_by
from deploy.embedded.forge.pushes import Push
from deploy.embedded.forge.store import Row

router = APIRouter(prefix="/repos/{owner}/{repo}/pulls")


class Merge(Body):
    """`PUT …/pulls/{number}/merge`; `sha` is what the head must be."""

    commit_title: str | None = Field(default=None, max_length=256)
    commit_message: str | None = Field(default=None, max_length=65_536)
    sha: str | None = None
    merge_method: Literal["merge", "squash", "rebase"] = "merge"


@router.get("/{number:number}/merge", status_code=204)
def is_merged(number: int, access: Readable) -> Response:
    """204 for one that was merged, else 404."""
    if pulls.find(access, number)["merged_at"] is None:
        raise not_found()
    return Response(status_code=204)


@router.put("/{number:number}/merge")
def merge(number: int, body: Annotated[Merge, Depends(json_body(Merge))], access: Writable) -> dict[str, Any]:
    """Merge, by a merge commit or one squashed commit."""
    row = pulls.find(access, number)
    if row["state"] == "closed" or row["draft"]:
        raise ForgeError(405, "Pull Request is not mergeable")
    if body.sha is not None and body.sha != row["head_sha"]:
        raise ForgeError(409, "Head branch was modified. Review and try the merge again.")
    if body.merge_method == "rebase":
        raise ForgeError(405, "Rebase merges are not allowed on this repository.")
    base = access.bare.branch(row["base_ref"])
    tree = history.merged_tree(access.bare, base, row["head_sha"]) if base is not None else None
    if base is None or tree is None:
        raise ForgeError(405, "Pull Request is not mergeable")
    sha = _write(access, row, body, base, tree)
    try:
        ref = f"refs/heads/{row['base_ref']}"
        access.forge.pushes.move_ref(access.repository, access.caller, ref, sha, base)
    except RefMovedError:
        raise ForgeError(405, "Base branch was modified. Review and try the merge again.") from None
    # A listener has marked it already where the base now contains its head; after a squash it does not.
    if pulls.find(access, number)["merged_at"] is None:
        _mark_merged(access, row, sha)
        pulls.say(access, "closed", number)
    _tidy(access, row)
    return {"sha": sha, "merged": True, "message": "Pull Request successfully merged"}


def _write(access: Access, row: Row, body: Merge, base: str, tree: str) -> str:
    number, head = row["number"], row["head_sha"]
    committer: Person = now_by(access.caller)
    if body.merge_method == "squash":
        title = body.commit_title or f"{row['title']} (#{number})"
        text, parents = body.commit_message or "", [base]
    else:
        origin = pulls.head_repository(access, row)
        source = f"{origin.owner.login if origin is not None else 'unknown'}/{row['head_ref']}"
        title = body.commit_title or f"Merge pull request #{number} from {source}"
        text, parents = body.commit_message or row["title"], [base, head]
    message = f"{title}\n\n{text}" if text else title
    return access.bare.write_commit(tree, parents, committer, committer, message).sha


def _mark_merged(access: Access, row: Row, sha: str) -> None:
    with access.forge.store.transaction():
        threads.change_state(access, row, "closed")
        access.forge.store.update(
            "pulls",
            row["pull_id"],
            merged_at=timestamp(),
            merged_by_id=access.caller.id,
            merge_commit_sha=sha,
        )


def _tidy(access: Access, row: Row) -> None:
    """Delete the merged branch where the repository is set so."""
    if not access.repository.delete_branch_on_merge or row["head_repository_id"]:
        return
    ref, branch = f"refs/heads/{row['head_ref']}", row["head_ref"]
    if branch != access.repository.default_branch and access.bare.branch(branch) == row["head_sha"]:
        try:
            access.forge.pushes.move_ref(access.repository, access.caller, ref, ZERO_SHA, row["head_sha"])
        except RefMovedError:
            # Somebody pushed to it just now: then it is in use.
            return


class PullsFollowBranches:
    """A push listener: open pull requests follow their head, close without it, and are merged when their base
    contains them."""

    def __init__(self, forge: Forge) -> None:
        self._forge = forge

    def __call__(self, push: Push) -> None:
        """Hear of a push."""
        if push.branch is None:
            return
        principal = Principal(push.pusher, admin=False)
        access = Access(self._forge, principal, push.repository, "write")
        self._follow_head(access, push, self._open("i.repository_id = ? AND p.head_repository_id = 0", "head", push))
        for row in self._open("p.head_repository_id = ?", "head", push):
            origin = self._forge.repositories.known(row["repository_id"])
            offered = Access(self._forge, principal, origin, "write")
            if not push.deleted:
                forks.bring(self._forge, push.repository, origin, push.after)
            self._follow_head(offered, push, [row])
        self._follow_base(access, push)

    def _open(self, where: str, end: str, push: Push) -> list[Row]:
        sql = f"{pulls.SELECT} WHERE {where} AND i.state = 'open' AND p.{end}_ref = ?"
        return self._forge.store.all(sql, [push.repository.id, push.branch or ""])

    def _follow_head(self, access: Access, push: Push, rows: list[Row]) -> None:
        for row in rows:
            if push.deleted:
                threads.change_state(access, row, "closed")
                pulls.say(access, "closed", row["number"])
            elif row["head_sha"] != push.after:
                self._keep_head(access, row, push.after)
                with self._forge.store.transaction():
                    self._forge.store.update("pulls", row["pull_id"], head_sha=push.after)
                    self._forge.store.update("issues", row["id"], updated_at=timestamp())
                pulls.say(access, "synchronize", row["number"], before=push.before, after=push.after)

    def _keep_head(self, access: Access, row: Row, sha: str) -> None:
        ref = f"refs/pull/{row['number']}/head"
        kept = access.bare.ref(ref)
        access.bare.move_ref(ref, sha, kept.sha if kept is not None else ZERO_SHA)

    def _follow_base(self, access: Access, push: Push) -> None:
        if push.deleted:
            return
        for row in self._open("i.repository_id = ?", "base", push):
            if history.is_ancestor(access.bare, row["head_sha"], push.after):
                _mark_merged(access, row, push.after)
                pulls.say(access, "closed", row["number"])


class FirstBranchIsDefault:
    """A push listener: the first branch that is ever pushed becomes the default when the one that was meant to be does
    not exist, as on GitHub."""

    def __init__(self, forge: Forge) -> None:
        self._forge = forge

    def __call__(self, push: Push) -> None:
        """Hear of a push."""
        access = Access(self._forge, Principal(push.pusher, admin=False), push.repository, "write")
        if push.branch is None or push.deleted or access.bare.branch(push.repository.default_branch) is not None:
            return
        if access.bare.branch(push.branch) is not None:
            access.bare.set_default_branch(push.branch)
            self._forge.repositories.change(push.repository.id, default_branch=push.branch)
