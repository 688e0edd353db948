"""Saying on the forge whose a repository is.

Invariant: the marks go on before anything else does, so whatever is half done has an owner who can finish or undo it.
"""

from collections.abc import Mapping, Sequence

from services.cicd.domain import MADE_FOR_VARIABLE, TOPIC, URL_VARIABLE, Mark
from services.cicd.ports import Forge


async def put_marks(
    forge: Forge,
    repository: str,
    mark: Mark,
    platform_url: str,
    *,
    variables: Mapping[str, str],
    made_by_us: bool,
    new: bool = False,
    reviewers: Sequence[str] = (),
) -> None:
    """Say whose this is, then let workflows find the platform. The first push runs one, so this comes before it.

    `variables` are those there are. In a `new` repository, which this very deed created, nothing has to be looked for.
    """
    there = not new and await forge.has_environment(repository, mark.environment)
    if there and not made_by_us and not {mark.used_by_variable, mark.not_ours_variable} & set(variables):
        # Nobody of ours was here yet, so it is the owner's: known before anything says that we were.
        await forge.set_variable(repository, mark.not_ours_variable, str(mark))
    wanted = {MADE_FOR_VARIABLE: str(mark)} if made_by_us else {}
    wanted |= {mark.used_by_variable: str(mark), URL_VARIABLE: platform_url}
    for name, value in wanted.items():
        if variables.get(name) != value:
            await forge.set_variable(repository, name, value)
    if made_by_us:
        topics = () if new else await forge.topics(repository)
        if TOPIC not in topics:
            await forge.set_topics(repository, (*topics, TOPIC))
    if not there:
        await forge.put_environment(repository, mark.environment, reviewers=reviewers)
