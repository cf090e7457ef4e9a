"""Messages between the backend and its worker: framed, checksummed, with a time limit.

A frame is a header (magic, length, CRC-32) and a pickled tuple. The limit holds for both
directions: a stopped worker neither answers nor reads, and must not make its parent wait for ever.
"""

from __future__ import annotations

import pickle
import socket
import struct
import threading
import time
import zlib
from typing import Any, TypeAlias

Message: TypeAlias = tuple[Any, ...]
_HEADER = struct.Struct("!4sQI")
_MAGIC = b"nrlv"
_PIECE = 1 << 20


class CorruptedFrame(Exception):
    """What arrived is not what was sent."""


class Frames:
    """One end of a connection. Several threads may send.

    Args:
        connection: a connected stream socket; closed with this object.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._lock = threading.Lock()

    def fileno(self) -> int:
        """The file descriptor, for `select`."""
        return self._socket.fileno()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def send(self, message: Message, deadline: float | None = None) -> None:
        """Send one message.

        Args:
            message: anything that can be pickled.
            deadline: in `time.monotonic()` seconds; None: no limit.

        Raises:
            TimeoutError: the deadline passed.
            OSError: the other end is gone.
        """
        payload = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        header = _HEADER.pack(_MAGIC, len(payload), zlib.crc32(payload))
        view = memoryview(header + payload)
        with self._lock:
            while view:
                self._limit(deadline)
                view = view[self._socket.send(view[:_PIECE]) :]

    def receive(self, deadline: float | None = None) -> Message:
        """The next message.

        Raises:
            TimeoutError: the deadline passed before the message was whole.
            EOFError: the other end hung up.
            CorruptedFrame: not a message, or one that was changed on its way.
        """
        magic, size, checksum = _HEADER.unpack(self._read(_HEADER.size, deadline))
        if magic != _MAGIC:
            raise CorruptedFrame("no message begins here")
        payload = self._read(size, deadline)
        if zlib.crc32(payload) != checksum:
            raise CorruptedFrame("the checksum is wrong")
        message: Message = pickle.loads(payload)
        return message

    def _read(self, size: int, deadline: float | None) -> bytes:
        parts, missing = [], size
        while missing:
            self._limit(deadline)
            try:
                part = self._socket.recv(min(missing, _PIECE))
            except ConnectionError:
                part = b""
            if not part:
                raise EOFError
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _limit(self, deadline: float | None) -> None:
        if deadline is None:
            self._socket.settimeout(None)
            return
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
