"""A proxy that reads a request's length and nothing else, and shares one connection to the app: what the oracle is for.

It is here to show that the oracle can fail. Must never stand in front of anything else.
"""

import asyncio
import re


class Naive:
    """One upstream connection, one request at a time."""

    def __init__(self, app):
        self.app = app
        self.turn = asyncio.Lock()
        self.upstream = None

    async def serve(self):
        """Listens on a free port."""
        return await asyncio.start_server(self._client, "127.0.0.1", 0)

    async def _client(self, reader, writer):
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                body = await reader.readexactly(_length(head))
                async with self.turn:
                    answer = await self._exchange(head + body)
                writer.write(answer)
                if b"connection: close" in head:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    async def _exchange(self, request):
        if self.upstream is None:
            self.upstream = await asyncio.open_connection(*self.app)
        reader, writer = self.upstream
        try:
            writer.write(request.replace(b"connection: close\r\n", b""))
            head = await reader.readuntil(b"\r\n\r\n")
            return head + await reader.readexactly(_length(head))
        except (asyncio.IncompleteReadError, ConnectionError):
            self.upstream = None
            return b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n"


def _length(head):
    found = re.search(rb"content-length: (\d+)\r\n", head, re.IGNORECASE)
    return int(found[1]) if found else 0
