"""Names that people type, and the rules they must keep. A value that has one of these types is safe to put in a
subject, a path, a DNS name and a SQL identifier; nothing else on the platform re-checks it.

Every pattern is matched against the whole value (`^…$` of Rust's regex, where a trailing newline is no match).
"""

from typing import Annotated, Final

from pydantic import AfterValidator, StringConstraints

ENVIRONMENT_NAME_PATTERN: Final = r"^[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?$"
"""A DNS label (RFC 1123 §2.1) that begins with a letter, of 40 characters at most: with the prefix `env_` it still
fits a PostgreSQL identifier (63 bytes)."""

RESERVED_NAMES: Final = frozenset(
    {
        "admin",
        "api",
        "app",
        "apps",
        "auth",
        "catalog",
        "cicd",
        "console",
        "dashboard",
        "default",
        "dns",
        "docs",
        "forge",
        "gateway",
        "git",
        "grafana",
        "health",
        "help",
        "inbox",
        "ingress",
        "internal",
        "kube-public",
        "kube-system",
        "kubernetes",
        "localhost",
        "login",
        "mail",
        "metrics",
        "nats",
        "new",
        "notifier",
        "ns",
        "openbao",
        "platform",
        "portal",
        "postgres",
        "postgresql",
        "prometheus",
        "provisioner",
        "public",
        "root",
        "secrets",
        "slipway",
        "smtp",
        "static",
        "status",
        "system",
        "test",
        "traces",
        "vault",
        "wpad",
        "www",
    }
)
"""Names that mean a part of the platform, a host name of its own, or a namespace of Kubernetes."""


def _not_reserved(name: str) -> str:
    if name in RESERVED_NAMES:
        raise ValueError(f"the name {name!r} is reserved for the platform; choose another one")
    if "--" in name:
        # Also keeps out every A-label (`xn--…`, RFC 5890 §2.3.2.1), which a reader cannot tell from its look-alike.
        raise ValueError("a name has no two hyphens in a row")
    return name


EnvironmentName = Annotated[
    str, StringConstraints(pattern=ENVIRONMENT_NAME_PATTERN, min_length=1, max_length=40), AfterValidator(_not_reserved)
]
TeamName = Annotated[str, StringConstraints(pattern=r"^[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?$", max_length=40)]
GoldenPathName = Annotated[str, StringConstraints(pattern=r"^[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?$", max_length=40)]
PersonName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9._@+-]{0,98}[A-Za-z0-9])?$")]
"""Who: a login or a token's subject. Never an identity by itself (that is issuer and subject)."""

SemanticVersion = Annotated[
    str, StringConstraints(pattern=r"^(?:0|[1-9]\d{0,5})\.(?:0|[1-9]\d{0,5})\.(?:0|[1-9]\d{0,5})$")
]
"""MAJOR.MINOR.PATCH (semver.org 2.0.0), without pre-release or build."""

_BRANCH_RULE = (
    "a branch is letters, digits and . _ / - , begins with a letter or digit, has no '..', '//', '/.' and does not"
    " end in '/', '.' or '.lock'"
)


def _branch(name: str) -> str:
    parts = name.split("/")
    if any(not part or part.startswith(".") or part.endswith((".lock", ".")) or ".." in part for part in parts):
        raise ValueError(_BRANCH_RULE)
    return name


BranchName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,119}$"), AfterValidator(_branch)]
"""A subset of what git-check-ref-format(1) allows: nothing a shell, a YAML file or an argument list could misread."""


def _repository(name: str) -> str:
    owner, _, repository = name.partition("/")
    if repository in {".", ".."} or repository.lower().endswith((".git", ".wiki")) or "--" in owner:
        raise ValueError("a repository is written owner/name as on GitHub, without '.git'")
    return name


RepositoryName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9-]{0,37}[A-Za-z0-9])?/[A-Za-z0-9._-]{1,100}$"),
    AfterValidator(_repository),
]
"""`owner/name` as GitHub spells it."""

_PATH_RULE = (
    "a path within a repository is directories of letters, digits and . _ @ -, joined by /: it begins and ends with no"
    " '/', and no part is '.', '..' or '.git'"
)


def _path(path: str) -> str:
    if any(part in {"", ".", ".."} or part.lower() == ".git" or part.startswith("-") for part in path.split("/")):
        raise ValueError(_PATH_RULE)
    return path


RepositoryPath = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9._@-][A-Za-z0-9._/@-]{0,199}$", max_length=200), AfterValidator(_path)
]
"""A directory of a repository, seen from its root: nothing a shell, a filter of a workflow or a file system could take
for something else, and never above the root."""
