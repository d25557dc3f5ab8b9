"""Bytes that are no HTTP request: answered in the one shape, and never written down."""

from __future__ import annotations

from typing import Any

import structlog
from aiohttp import HttpVersion11, http_exceptions, web
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
        return _last(failure(error, status))


def _last(response: web.Response) -> web.Response:
    """An answer of this layer, after which the connection ends: where a request ends that cannot
    be read nobody knows, so what follows must not be read as the next one.
    """
    response.headers["Server"] = SERVER
    response.headers["Connection"] = "close"  # said to clients of every version
    response.force_close()
    return response


def _is_framed_otherwise(request: web.Request) -> bool:
    """Whether a body comes in another coding than chunks alone, as HTTP/1.1 has them: the parser
    takes any list that ends with them, and hands on the outer coding as if it were the body.
    """
    coding = request.headers.get("Transfer-Encoding")
    if coding is None:
        return False
    return coding.strip().lower() != "chunked" or request.version < HttpVersion11


def answering(handler: Handler) -> Handler:
    """`handler`, with what is refused before anything of this node is asked in the one shape: an
    unknown `Expect` (RFC 9110, section 10.1.1), an unknown `Transfer-Encoding` (RFC 9112, 6.1).
    """

    async def answer(request: web.Request) -> web.StreamResponse:
        if _is_framed_otherwise(request):
            safe = "A body comes as it is, or in chunks."
            return _last(failure(NodeError(Code.BAD_REQUEST, safe=safe), 501))
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
