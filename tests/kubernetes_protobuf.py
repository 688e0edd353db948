"""What a client in Go sends to create a token: a TokenRequest in Kubernetes' protobuf envelope, read as JSON would be.

After k8s.io/apimachinery `runtime.Unknown` (four magic bytes, then the type in field 1 and the object in field 2) and
k8s.io/api/authentication/v1 `TokenRequest` (the spec in field 2: audiences in field 1, seconds in field 4).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

CONTENT_TYPE: Final = "application/vnd.kubernetes.protobuf"
_MAGIC: Final = b"k8s\x00"


def token_request(content: bytes) -> dict[str, Any]:
    """The TokenRequest in `content`. Raises ValueError for anything else."""
    if not content.startswith(_MAGIC):
        raise ValueError("no Kubernetes protobuf")
    spec: dict[str, Any] = {"audiences": []}
    raw = next(_bytes_of(content[len(_MAGIC) :], 2))
    for number, value in _fields(next(_bytes_of(raw, 2))):
        if number == 1 and isinstance(value, bytes):
            spec["audiences"].append(value.decode())
        elif number == 4:
            spec["expirationSeconds"] = value
    return {"kind": "TokenRequest", "spec": spec}


def _bytes_of(message: bytes, wanted: int) -> Iterator[bytes]:
    for number, value in _fields(message):
        if number == wanted and isinstance(value, bytes):
            yield value
    raise ValueError(f"no field {wanted}")


def _fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Number and value of each field: varints and what has a length; others do not occur here."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        length, position = _varint(message, position)
        if key & 7 == 0:
            yield key >> 3, length
        elif key & 7 == 2:
            yield key >> 3, message[position : position + length]
            position += length
        else:
            raise ValueError(f"a field of wire type {key & 7}")


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, position
