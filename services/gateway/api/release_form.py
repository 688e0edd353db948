"""A release as pipelines send it: `multipart/form-data` (RFC 7578) with the part `deployment`, JSON, and then the part
`release`, a gzipped tar archive.

Invariant: the release is handed on chunk by chunk as it comes and is never held; everything else is small and bounded.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from fastapi import Request
from pydantic import ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from contracts.deployments import MAX_RELEASE_BYTES, ReleaseNote
from services.gateway.api import limits
from services.gateway.domain.refusals import (
    BrokenRule,
    InvalidError,
    MalformedError,
    TooLargeError,
    UnsupportedMediaTypeError,
)

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

NOTE_BYTES: Final = 16 * 1024
_HEADER_BYTES: Final = 8 * 1024
_NOTE, _RELEASE = "deployment", "release"
_ORDER: Final = "Send the part `deployment` (JSON) and then the part `release` (a gzipped tar archive), each once."


@dataclass
class _Parts:
    """What the parser found since it was looked at last."""

    names: list[str] = field(default_factory=list)
    """The parts that have begun, in their order."""
    note: bytearray = field(default_factory=bytearray)
    note_ended: bool = False
    chunks: list[bytes] = field(default_factory=list)
    ended: bool = False
    header_name: bytearray = field(default_factory=bytearray)
    header_value: bytearray = field(default_factory=bytearray)
    disposition: bytes = b""

    def callbacks(self) -> "MultipartCallbacks":
        """For the parser."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._add(self.header_name, data[start:end]),
            "on_header_value": lambda data, start, end: self._add(self.header_value, data[start:end]),
            "on_header_end": self._header,
            "on_headers_finished": self._name,
            "on_part_data": self._data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self.disposition = b""

    def _add(self, whole: bytearray, part: bytes) -> None:
        whole += part
        if len(whole) > _HEADER_BYTES:
            raise MalformedError(_ORDER)

    def _header(self) -> None:
        if bytes(self.header_name).lower() == b"content-disposition":
            self.disposition = bytes(self.header_value)
        self.header_name.clear()
        self.header_value.clear()

    def _name(self) -> None:
        _, options = parse_options_header(self.disposition)
        self.names.append(options.get(b"name", b"").decode("utf-8", "replace"))
        if self.names != [_NOTE, _RELEASE][: len(self.names)]:
            raise MalformedError(_ORDER)

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self.names == [_NOTE]:
            self.note += data[start:end]
            if len(self.note) > NOTE_BYTES:
                raise TooLargeError(f"The part `deployment` has {NOTE_BYTES // 1024} KiB at most.")
        else:
            self.chunks.append(data[start:end])

    def _part_end(self) -> None:
        self.note_ended = True

    def _end(self) -> None:
        self.ended = True


class ReleaseForm:
    """One request's form. Read the note first, then the release, once."""

    def __init__(self, request: Request) -> None:
        """Raises `UnsupportedMediaTypeError` for anything but a form, and `TooLargeError` where it says how large it is
        and that is too much."""
        kind, options = parse_options_header(request.headers.get("content-type", ""))
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not boundary or request.headers.get("content-encoding"):
            raise UnsupportedMediaTypeError(f"This takes multipart/form-data. {_ORDER}")
        self._most = MAX_RELEASE_BYTES + NOTE_BYTES + 2 * _HEADER_BYTES
        length = request.headers.get("content-length", "0")
        if not length.isdigit() or int(length[:20]) > self._most:
            raise _too_large()
        self._parts = _Parts()
        self._parser = MultipartParser(boundary, self._parts.callbacks())
        self._stream = request.stream()
        self._size = 0

    async def note(self) -> ReleaseNote:
        """What the part `deployment` says. Raises `MalformedError` and `InvalidError`."""
        while not self._parts.note_ended:
            if not await self._more():
                raise MalformedError(_ORDER)
        found = limits.parse_json(bytes(self._parts.note), NOTE_BYTES)
        try:
            return ReleaseNote.model_validate(found)
        except ValidationError as error:
            fields = [".".join(str(step) for step in one["loc"]) or _NOTE for one in error.errors()]
            broken = [BrokenRule(f"{_NOTE}.{one}", "is missing or not as described") for one in fields]
            raise InvalidError(broken) from None

    async def release(self) -> AsyncIterator[bytes]:
        """The archive's bytes as they come. Raises `MalformedError` where they break off, and `TooLargeError`."""
        going = True
        while going:
            going = bool(self._parts.chunks) or await self._more()
            chunks, self._parts.chunks = self._parts.chunks, []
            for chunk in chunks:
                yield chunk
        if self._parts.names != [_NOTE, _RELEASE] or not self._parts.ended:
            raise MalformedError(_ORDER)

    async def _more(self) -> bool:
        """Take one more piece of the body; False at its end."""
        try:
            piece = await anext(self._stream, b"")
            if not piece:
                self._parser.finalize()
                return False
            self._size += len(piece)
            if self._size > self._most:
                raise _too_large()
            self._parser.write(piece)
        except FormParserError:
            raise MalformedError("The form cannot be read.") from None
        except ClientDisconnect:
            raise MalformedError("The request broke off.") from None
        return True


def _too_large() -> TooLargeError:
    return TooLargeError(f"A release has {MAX_RELEASE_BYTES >> 20} MiB at most.")
