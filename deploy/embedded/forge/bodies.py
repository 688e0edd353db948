"""Request bodies: limited before they are read, parsed by pydantic's own JSON reader (which refuses deep nesting,
numbers of thousands of digits, lone surrogates and trailing text), and checked against a model."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, ValidationError

from deploy.embedded.forge.errors import ForgeError, from_validation

Model = TypeVar("Model", bound=BaseModel)


class Body(BaseModel):
    """A request body. Fields that the forge does not know are ignored, as GitHub does."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    def given(self) -> dict[str, Any]:
        """The fields that the caller sent."""
        return self.model_dump(exclude_unset=True)


async def read_limited(request: Request, limit_bytes: int) -> bytes:
    """The body. Raises ForgeError 413 as soon as it proves longer than the limit, 400 for an encoding."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ForgeError(415, "Send the body without a Content-Encoding")
    too_large = ForgeError(413, f"The body is larger than {limit_bytes} bytes")
    length = request.headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit() or len(length) > 18 or int(length) > limit_bytes:
        raise too_large
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit_bytes:
            raise too_large
        parts.append(part)
    return b"".join(parts)


def json_body(model: type[Model]) -> Callable[[Request], Awaitable[Model]]:
    """A dependency that gives the body as `model`; no body at all counts as `{}`."""

    async def parse(request: Request) -> Model:
        raw = await read_limited(request, request.app.state.forge.settings.json_limit_bytes)
        try:
            return model.model_validate_json(raw or b"{}")
        except ValidationError as error:
            raise from_validation(error) from None

    return parse
