"""Bytes that are no HTTP request: answered in the one shape, and never written down."""

from __future__ import annotations

from typing import Any

import structlog
from aiohttp import http_exceptions, web
from aiohttp.web_protocol import RequestHandler

from ratoon_node.api.answers import failure
from ratoon_node.api.route import Handler
from ratoon_node.errors import NodeError
from ratoon_protocol.errors import Code

#: What answers say of the program: its name, and no version for whoever looks for old ones.
SERVER = "ratoon"

log = structlog.get_logger()


class Connection(RequestHandler):
    """One client's connection."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what does not parse; the connection ends with it."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        if status >= 500:
            log.error("connection_failed", exc_info=exc)
            error = NodeError(Code.INTERNAL)
        elif isinstance(exc, http_exceptions.LineTooLong):
            status, error = 431, NodeError(Code.TOO_LARGE, safe="A line of the head is too long.")
        else:
            error = NodeError(Code.BAD_REQUEST, safe="This is not HTTP.")
        response = failure(error, status)
        response.headers["Server"] = SERVER
        response.force_close()
        return response


def answering(handler: Handler) -> Handler:
    """`handler`, with the framework's refusal of an unknown `Expect` (RFC 9110, section 10.1.1)
    in the one shape: it comes before anything of this node is asked.
    """

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPExpectationFailed as error:
            safe = "Nothing but 100-continue can be expected."
            response = failure(NodeError(Code.BAD_REQUEST, safe=safe), error.status)
            response.headers["Server"] = SERVER
            return response

    return answer


class Listener(web.Server):
    """Makes a `Connection` of each client."""

    def __init__(self, handler: Any, connection: dict[str, Any], **options: Any) -> None:
        super().__init__(handler, **options, **connection)
        self._connection = connection

    def __call__(self) -> Connection:
        """A new connection."""
        return Connection(self, loop=self._loop, **self._connection)


class Runner(web.AppRunner):
    """Runs an application behind a `Listener`."""

    __slots__ = ()

    async def _make_server(self) -> Listener:
        made = await super()._make_server()
        return Listener(
            answering(made.request_handler),
            self._kwargs,
            request_factory=made.request_factory,
            loop=made._loop,
        )
