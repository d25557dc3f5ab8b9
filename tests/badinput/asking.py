"""How the cases of `asked` and `frames` are said, and what comes back."""

from __future__ import annotations

import base64
from typing import Any

import msgpack
from aiohttp import WSMsgType

from ratoon_node.errors import ANSWERS
from ratoon_protocol.errors import Code
from tests.badinput.asked import Asked, get
from tests.badinput.doors import Command, Http, Link, Stream
from tests.badinput.lines import HttpLine

#: Told in a status of their own (RFC 9110): a wrong method, an unknown expectation, a long head.
OTHER_STATUS = frozenset({405, 417, 431})


async def answer(door: Any, case: Asked, port: int) -> str:
    """Say what the case says, and give the code of the answer. Asserts that the connection
    ended, or was kept, as the case has it.
    """
    if isinstance(door, Http):
        return await _requested(door.line, case)
    if isinstance(door, Stream):
        return await (_closed(HttpLine(port), case) if case.cut else _told(door, case))
    if isinstance(door, Link):
        assert isinstance(case.given, list)
        return await door.ends(*case.given)
    assert isinstance(door, Command)
    assert isinstance(case.given, bytes)
    code, body = await door.bring(case.given)
    assert code == 1, body
    return str(body["error"]["code"])


async def _requested(line: HttpLine, case: Asked) -> str:
    assert isinstance(case.given, bytes)
    await line.send(case.given)
    said = await line.answer()
    assert set(said.json) <= {"error", "records"}, said
    assert said.status == ANSWERS[Code(said.code)].status or said.status in OTHER_STATUS, said
    if not case.cut:
        assert said.headers.get("connection") != "close", said
    else:
        assert await line.ended()
    return said.code


async def _told(door: Stream, case: Asked) -> str:
    if isinstance(case.given, str):
        await door.socket.send_str(case.given)
    else:
        assert isinstance(case.given, bytes)
        await door.socket.send_bytes(case.given)
    message = await door.socket.receive(20)
    if message.type is WSMsgType.TEXT:
        return str(message.json()["error"]["code"])
    assert message.type is WSMsgType.BINARY, message
    number, code, _ = msgpack.unpackb(message.data)
    assert number in (None, 1)
    return str(code)


async def _closed(line: HttpLine, case: Asked) -> str:
    """The code of the frame that closes a WebSocket spelt by hand."""
    assert isinstance(case.given, bytes)
    key = base64.b64encode(bytes(16)).decode()
    upgrade = (
        "\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13"
        f"\nSec-WebSocket-Key: {key}\nSec-WebSocket-Extensions: permessage-deflate"
    )
    await line.send(get("/v1/stream", upgrade))
    said = await line.answer()
    assert said.status == 101
    assert "sec-websocket-extensions" not in said.headers, "nothing is squeezed here"
    await line.send(case.given)
    head = await line.read(2)
    assert head[0] == 0x88, head
    data = await line.read(head[1])
    await line.close()
    return str(int.from_bytes(data[:2]))
