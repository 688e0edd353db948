"""How an application is run and watched, as its golden path has it.

Invariant: it is complete in itself. A release is run by what is said here and by nothing else; which of the readers
knows more fields than another does not matter.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from contracts.envelope import Value

Line = Annotated[str, StringConstraints(min_length=1, max_length=120, pattern=r"\A[^\x00-\x1f\x7f]+\z")]
RelativePath = Annotated[str, StringConstraints(max_length=200, pattern=r"\A[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*\z")]
HttpPath = Annotated[str, StringConstraints(max_length=200, pattern=r"\A/[A-Za-z0-9_./-]*\z")]
VariableName = Annotated[str, StringConstraints(pattern=r"\A[A-Z][A-Z0-9_]{0,39}\z")]
HeaderName = Annotated[str, StringConstraints(pattern=r"\A[A-Za-z][A-Za-z0-9-]{0,59}\z")]
HeaderValue = Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"\A[\x20-\x7e]+\z")]


class StaticFiles(Value):
    """Files that whoever stands in front can serve by itself, so that no process of the application needs to run."""

    directory: RelativePath
    """Where they are within a release; it holds an index.html."""
    not_found: RelativePath | None = None
    """The page, within `directory`, that tells of an address without a file."""
    forever: HttpPath | None = None
    """Addresses below this are fingerprinted: what they hold never changes."""
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict, max_length=30)
    """What every answer says to the browser."""

    @field_validator("directory", "not_found")
    @classmethod
    def _stays_inside(cls, path: str | None) -> str | None:
        if path is not None and ".." in path.split("/"):
            raise ValueError("a path stays within the release")
        return path


class Runtime(Value):
    """What runs the application and how it is watched."""

    kind: Literal["process", "static"] = "process"
    """`static`: `static` says what to serve, and `start` is for platforms that serve no files themselves."""

    language: Annotated[str, StringConstraints(pattern=r"\A[a-z][a-z0-9+#.-]{0,29}\z")]
    version: Annotated[str, StringConstraints(pattern=r"\A\d{1,3}(?:\.\d{1,3}){0,2}\z")]
    """The oldest version that will do."""
    start: tuple[Line, ...] = Field(min_length=1, max_length=20)
    """The command as an argument list; no shell reads it."""
    port_variable: VariableName | None = "PORT"
    """The environment variable that tells the application where to listen; None where it does not listen."""
    health_path: HttpPath | None = "/healthz"
    """Answers 200 while the process is alive."""
    ready_path: HttpPath | None = "/readyz"
    """Answers 200 while the process can do its work."""
    heartbeat_variable: VariableName | None = None
    """The environment variable that names a file which the application touches again and again while it is alive."""
    heartbeat_seconds: int = Field(default=30, ge=1, le=600)
    """How old that file may be."""
    static: StaticFiles | None = None

    @model_validator(mode="after")
    def _static_files_are_named(self) -> Self:
        if (self.kind == "static") != (self.static is not None):
            raise ValueError("static says what a runtime of kind static serves, and of no other kind")
        return self

    @model_validator(mode="after")
    def _only_listeners_are_asked(self) -> Self:
        if self.port_variable is None and (self.health_path or self.ready_path):
            raise ValueError("a runtime without port_variable does not listen: set health_path and ready_path to null")
        return self
