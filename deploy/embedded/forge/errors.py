"""Errors in GitHub's shape: `message`, `documentation_url`, `status`, and `errors` where a field is to blame.

A caller who may not see a repository is told the same as one who asks for a repository that does not exist.
"""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI, Request
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from structlog import get_logger

DOCUMENTATION: Final = "https://docs.github.com/rest"
_log = get_logger(__name__)


class ForgeError(Exception):
    """An answer that is not a success. `errors` are GitHub's: resource, field, code and perhaps message."""

    def __init__(
        self,
        status: int,
        message: str,
        errors: list[dict[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        """As an HTTP response."""
        body: dict[str, Any] = {"message": self.message}
        if self.errors is not None:
            body["errors"] = self.errors
        body |= {"documentation_url": DOCUMENTATION, "status": str(self.status)}
        return JSONResponse(body, self.status, self.headers)


def not_found() -> ForgeError:
    """There is no such thing, or none that the caller may see."""
    return ForgeError(404, "Not Found")


def forbidden(message: str = "Resource not accessible by personal access token") -> ForgeError:
    """The caller may see it, but not do this to it."""
    return ForgeError(403, message)


def archived() -> ForgeError:
    """A write to an archived repository."""
    return ForgeError(403, "Repository was archived so is read-only.")


def invalid(resource: str, field: str, code: str = "invalid", message: str | None = None) -> ForgeError:
    """A field is wrong. `code` is one of GitHub's: missing, missing_field, invalid, already_exists, custom."""
    error = {"resource": resource, "field": field, "code": code}
    return ForgeError(422, "Validation Failed", [error | ({"message": message} if message else {})])


def unprocessable(message: str) -> ForgeError:
    """The request as a whole cannot be done."""
    return ForgeError(422, message)


def conflict(message: str) -> ForgeError:
    """Somebody was faster, or the state is another one."""
    return ForgeError(409, message)


def from_validation(error: ValidationError) -> ForgeError:
    """GitHub's answer to a body that has the wrong shape. The values themselves are not echoed."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    if any(problem["type"] == "json_invalid" for problem in problems):
        return ForgeError(400, "Problems parsing JSON")
    errors = [
        {
            "resource": "Request",
            "field": ".".join(str(part) for part in problem["loc"]),
            "code": "missing_field" if problem["type"] == "missing" else "invalid",
            "message": problem["msg"],
        }
        for problem in problems[:20]
    ]
    return ForgeError(422, "Invalid request.", errors)


def install(app: FastAPI) -> None:
    """Make every error of the REST API one of GitHub's."""

    def forge_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, ForgeError)  # noqa: S101 - tells the type checker what the registration says
        return error.response()

    def http_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - as above
        message = "Not Found" if error.status_code == 404 else str(error.detail)
        return ForgeError(error.status_code, message, headers=error.headers).response()

    def unexpected(request: Request, error: Exception) -> Response:
        _log.error("request_failed", method=request.method, path=request.url.path, exc_info=error)
        return ForgeError(500, "Server Error: see the log of the forge").response()

    app.add_exception_handler(ForgeError, forge_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(Exception, unexpected)
