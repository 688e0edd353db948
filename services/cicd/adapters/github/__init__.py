"""GitHub by PyGithub, or anything that answers like it (`base_url`).

Invariants
- PyGithub is synchronous: every call runs in a thread of our own small limiter, on a client that only that thread
  uses, with a socket timeout. The current span goes along, and the HTTP instrumentation carries it to the forge.
- Only reads are repeated here, twice. A write is sent once: whether a lost answer meant yes is for the caller to read.
- A call is one request wherever GitHub has one for it: things are addressed, not fetched in order to be addressed.
"""

from services.cicd.adapters.github.credentials import AppCredentials
from services.cicd.adapters.github.forge import GitHubForge
from services.cicd.adapters.github.spans import trace_requests

__all__ = ["AppCredentials", "GitHubForge", "trace_requests"]
