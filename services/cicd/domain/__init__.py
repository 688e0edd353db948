"""What a pipeline is, whose a repository is, and what may be done with it. Pure rules, no I/O.

Invariants
- Only what carries our mark is ever changed, and only what holds nothing but our own work is ever deleted.
- The same plan gives the same commits, byte for byte, so doing it twice is doing it once.
"""

from services.cicd.domain.marks import (
    MADE_FOR_VARIABLE,
    TOPIC,
    URL_VARIABLE,
    USED_BY_PREFIX,
    Mark,
    owner_of,
    users_of,
    workflow_path,
)
from services.cicd.domain.plans import (
    Plan,
    Safeguards,
    check_offer,
    detach_body,
    detach_message,
    detach_title,
    follows_nothing_new,
    put_back_message,
)
from services.cicd.domain.rules import decide, is_initial, only_ours, reasons_to_keep
from services.cicd.domain.things import (
    COMMITTER_EMAIL,
    COMMITTER_NAME,
    INITIAL_COMMIT_MESSAGE,
    Commit,
    File,
    PullRequest,
    Repository,
    Seen,
)

__all__ = [
    "COMMITTER_EMAIL",
    "COMMITTER_NAME",
    "INITIAL_COMMIT_MESSAGE",
    "MADE_FOR_VARIABLE",
    "TOPIC",
    "URL_VARIABLE",
    "USED_BY_PREFIX",
    "Commit",
    "File",
    "Mark",
    "Plan",
    "PullRequest",
    "Repository",
    "Safeguards",
    "Seen",
    "check_offer",
    "decide",
    "detach_body",
    "detach_message",
    "detach_title",
    "follows_nothing_new",
    "is_initial",
    "only_ours",
    "owner_of",
    "put_back_message",
    "reasons_to_keep",
    "users_of",
    "workflow_path",
]
