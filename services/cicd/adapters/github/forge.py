"""The whole of `ports.Forge`, `ports.Conversations` and `ports.TicketDesk`, put together from its parts."""

from services.cicd.adapters.github.comments import Comments
from services.cicd.adapters.github.commits import Commits
from services.cicd.adapters.github.pull_requests import PullRequests
from services.cicd.adapters.github.repositories import Repositories
from services.cicd.adapters.github.tickets import Tickets
from services.cicd.adapters.github.variables import Variables
from services.cicd.adapters.github.workflows import Workflows


class GitHubForge(Repositories, Variables, Workflows, Commits, PullRequests, Comments, Tickets):
    """A forge over GitHub's REST API; see `Connection` for what it is made with."""
