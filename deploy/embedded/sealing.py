"""A stream of bytes under a passphrase: Argon2id makes the key, libsodium's secretstream seals chunk after chunk.

Invariant: what is read was written by somebody who knew the passphrase, in this order and to its end; a chunk that was
changed, moved or left out, and an end that was cut off, raise `SealError` before anything behind it is given out.

Sources: RFC 9106 (Argon2id); https://doc.libsodium.org/secret-key_cryptography/secretstream
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from nacl import bindings, pwhash, utils
from nacl.exceptions import CryptoError

MAGIC = b"slipway-sealed-1\n"
_CHUNK_BYTES = 1 << 16
_KEY_BYTES = bindings.crypto_secretstream_xchacha20poly1305_KEYBYTES
_HEADER_BYTES = bindings.crypto_secretstream_xchacha20poly1305_HEADERBYTES
_OVERHEAD_BYTES = bindings.crypto_secretstream_xchacha20poly1305_ABYTES
_MESSAGE = bindings.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
_FINAL = bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL
_COST = struct.Struct(">QQ")
_OPERATIONS, _MEMORY_BYTES = 3, 64 << 20
"""RFC 9106, section 4, the second recommended option, for which no machine is too small."""


class SealError(Exception):
    """The passphrase is another one, or the bytes are not those that were sealed."""


def _key(passphrase: bytes, salt: bytes, operations: int, memory_bytes: int) -> bytes:
    if (operations, memory_bytes) != (_OPERATIONS, _MEMORY_BYTES):
        # Whoever hands us a file must not choose how much memory reading it takes.
        raise SealError("it was sealed at a cost that this version does not know")
    key: bytes = pwhash.argon2id.kdf(_KEY_BYTES, passphrase, salt, operations, memory_bytes)
    return key


class SealingWriter:
    """What is written here reaches `file` sealed. `close` marks the end, and leaves `file` open."""

    def __init__(self, file: BinaryIO, passphrase: bytes) -> None:
        salt = utils.random(pwhash.argon2id.SALTBYTES)
        self._preamble = MAGIC + _COST.pack(_OPERATIONS, _MEMORY_BYTES) + salt
        self._file = file
        self._state = bindings.crypto_secretstream_xchacha20poly1305_state()
        key = _key(passphrase, salt, _OPERATIONS, _MEMORY_BYTES)
        header = bindings.crypto_secretstream_xchacha20poly1305_init_push(self._state, key)
        file.write(self._preamble + header)
        self._waiting = bytearray()

    def write(self, data: bytes) -> int:
        """Seal `data`, as soon as there is a chunk of it."""
        self._waiting += data
        while len(self._waiting) > _CHUNK_BYTES:
            self._push(bytes(self._waiting[:_CHUNK_BYTES]), _MESSAGE)
            del self._waiting[:_CHUNK_BYTES]
        return len(data)

    def close(self) -> None:
        """Seal the rest as the last chunk."""
        self._push(bytes(self._waiting), _FINAL)

    def _push(self, chunk: bytes, tag: int) -> None:
        # The preamble is sealed with every chunk: what the key was made from cannot be exchanged either.
        push = bindings.crypto_secretstream_xchacha20poly1305_push
        self._file.write(push(self._state, chunk, self._preamble, tag))


class SealedReader:
    """Gives out what a `SealingWriter` was given."""

    def __init__(self, file: BinaryIO, passphrase: bytes) -> None:
        self._preamble = file.read(len(MAGIC) + _COST.size + pwhash.argon2id.SALTBYTES)
        header = file.read(_HEADER_BYTES)
        if len(header) < _HEADER_BYTES:
            raise SealError("it is cut off")
        operations, memory_bytes = _COST.unpack_from(self._preamble, len(MAGIC))
        key = _key(passphrase, self._preamble[len(MAGIC) + _COST.size :], operations, memory_bytes)
        self._file = file
        self._state = bindings.crypto_secretstream_xchacha20poly1305_state()
        bindings.crypto_secretstream_xchacha20poly1305_init_pull(self._state, header, key)
        self._opened = bytearray()
        self._ended = False

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, fewer only at the end; all that are left for a negative `size`. Raises `SealError`."""
        while not self._ended and (size < 0 or len(self._opened) < size):
            self._pull()
        count = len(self._opened) if size < 0 else size
        given = bytes(self._opened[:count])
        del self._opened[:count]
        return given

    def _pull(self) -> None:
        sealed = self._file.read(_CHUNK_BYTES + _OVERHEAD_BYTES)
        try:
            pull = bindings.crypto_secretstream_xchacha20poly1305_pull
            chunk, tag = pull(self._state, sealed, self._preamble)
        except (CryptoError, ValueError) as error:
            raise SealError("the passphrase is another one, or the file was changed or cut off") from error
        self._opened += chunk
        self._ended = tag == _FINAL
        if self._ended and self._file.read(1):
            raise SealError("something was put behind its end")
