"""The forge: a stand-in for GitHub on one machine. It speaks the part of GitHub's REST protocol that Slipway uses
and Git's smart HTTP protocol, over real bare repositories, and runs their workflows (`workflows/`); it is not GitHub.

Invariant: what Git holds (objects, refs, history) is read from the bare repository at every request and never copied
into the database; the database holds only what Git has no place for (ids, descriptions, pull requests, issues,
environments, hooks, ...). A repository's directory is named by its immutable number, so no name that a person typed
is ever part of a path.

    python -m deploy.embedded.forge
"""
