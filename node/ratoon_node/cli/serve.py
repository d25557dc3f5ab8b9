"""The process behind `ratoon run`: a node on real sockets, from the first key to a clean end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import secrets
import signal
import socket
import sqlite3
import sys
from collections.abc import Callable

from aiohttp import WSCloseCode, web

from ratoon_node.api.reload import Reloader
from ratoon_node.api.route import Route, link_route
from ratoon_node.api.server import RELOADER, make_app, make_runner
from ratoon_node.app import Node, assemble, verifier_of
from ratoon_node.cli.flags import folder_flag, folder_variable
from ratoon_node.cli.say import called, fail, terminal, words_grid
from ratoon_node.config import Config, Settings
from ratoon_node.operate.folder import Folder
from ratoon_node.operate.keys import Keys
from ratoon_node.operate.policyfolder import read_policy
from ratoon_node.operate.supervisor import READY, STOPPING, keep_watch, tell_supervisor
from ratoon_node.peering.lookup import DomainLookup
from ratoon_node.peering.wire import SocketTransport, accept
from ratoon_node.policy.document import PolicyFileError
from ratoon_node.runtime import SystemClock, share_interpreter, spare_collector, system_runtime
from ratoon_node.store.db import AioDb
from ratoon_node.telemetry import configure_log
from ratoon_protocol import phrase

# What is under way, streams and links get this long together once the node was told to stop; then
# tasks are ended and the store is closed, all of it within five seconds.
SHUTDOWN_S_MAX = 4.0
# Of that, peers get so long to hear that this node ends.
GOODBYES_S_MAX = 1.0
# Connections the kernel holds until they are accepted.
BACKLOG = 1024


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, taken before anything else so that a taken port changes nothing."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
        found.listen(BACKLOG)
    except OSError as error:
        found.close()
        why = error.strerror or str(error)
        if error.errno == errno.EADDRINUSE:
            why = "another program (or node) listens there"
        fail(
            f"cannot listen on {host} port {port}: {why}. Choose another --port (0 takes a free"
            " one) or --host."
        )
    return found


def address_of(listening: socket.socket) -> str:
    """Where a browser on this machine finds the node."""
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def open_keys(folder: Folder, settings: Settings) -> Keys:
    """The node's keys; made, and their words shown once, when there are none.

    The words go to a terminal alone: a stream that is not one may be a log. Where nobody can
    read them they wait in a file of the folder, because without them a lost node is lost.
    """
    found = folder.keys(settings.network_bytes)
    if found is not None:
        return found
    entropy = secrets.token_bytes(phrase.ENTROPY_BYTES)
    screen = terminal()
    if screen is None:
        folder.leave_words(entropy)
    else:
        print(
            "This is a new node. Write down its 24 recovery words: they bring it back on another\n"
            "machine, they are shown once, and whoever has them owns the node.\n\n"
            f"{words_grid(phrase.words_from_entropy(entropy))}\n",
            file=screen,
            flush=True,
        )
    rng = secrets.SystemRandom()
    keys = folder.make_keys(settings.network_bytes, entropy, rng, SystemClock().now_ms())
    if screen is None:
        print(
            f"This is a new node. Its recovery words are in {folder.words_file}, which only you"
            f" can read. Run `{called()} init{folder_flag(folder.path)}` on a terminal to write"
            " them down and remove the file.",
            file=sys.stderr,
        )
    return keys


async def serve(config: Config, say: Callable[[str], None]) -> None:
    """Run a node until SIGTERM or SIGINT. Raises `CommandError` or `FolderError` at the start.

    SIGHUP has it read settings and rules anew. `say` is given the one line that tells where it
    serves.
    """
    settings = config.settings
    os.umask(0o077)  # what a node keeps is its owner's alone
    stop = _told_to_stop()
    folder = Folder(settings.data_dir)
    folder.claim()
    try:
        with contextlib.closing(listen(settings.host, settings.port)) as listening:
            configure_log(settings.log_level, settings.log_format, sys.stderr, SystemClock().now_ms)
            node = await open_node(settings, folder, open_keys(folder, settings))
            try:
                await node.start()
                spare_collector()
                share_interpreter()
                await _answer(node, config, folder, listening, say, stop)
            finally:
                await node.close()
    finally:
        folder.release()


def _told_to_stop() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; a second one ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def told() -> None:
        stop.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told)
    return stop


async def open_node(settings: Settings, folder: Folder, keys: Keys) -> Node:
    """The node of a folder, wired and not started. Raises `CommandError` for a bad policy."""
    try:
        policy = read_policy(settings.policy_path)
    except PolicyFileError as error:
        fail(f"{settings.policy_path}: {error}")
    runtime = system_runtime(threads=settings.signature_threads)
    transport = SocketTransport(settings.accept_private_addresses)
    lookup = DomainLookup(settings.accept_private_addresses)
    try:
        db = await AioDb.open(folder.store, settings.readers)
    except sqlite3.DatabaseError as error:
        fail(
            f"the database {folder.store} cannot be used: {error}. If its disk is full, make room;"
            " if not, see who owns it and whether the disk is sound."
        )
    try:
        verifier = verifier_of(settings, runtime)
        return assemble(settings, runtime, db, keys, policy, transport, lookup, verifier)
    except BaseException:
        await db.close()  # its threads would keep the process alive
        raise


class LinkDoor:
    """Takes links that other nodes dial, on the port of everything else."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._open: set[web.WebSocketResponse] = set()

    def route(self) -> Route:
        """Where links come in."""
        return link_route(self._take)

    async def _take(self, request: web.Request) -> web.WebSocketResponse:
        response, wire = await accept(request)
        self._open.add(response)
        try:
            await self._node.hub.accept(wire)
        finally:
            self._open.discard(response)
        return response

    async def close(self, _: web.Application) -> None:
        """Say goodbye on all links and end those that came in: the process waits for none."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYES_S_MAX):
                await self._node.hub.close()
                code = WSCloseCode.GOING_AWAY
                await asyncio.gather(*(one.close(code=code) for one in list(self._open)))


def _take_hangups(node: Node, reloader: Reloader) -> None:
    """Have SIGHUP reload settings and rules, and any reload the form of the log."""
    now_ms = node.runtime.clock.now_ms
    reloader.took = lambda settings: configure_log(
        settings.log_level, settings.log_format, sys.stderr, now_ms
    )
    asyncio.get_running_loop().add_signal_handler(
        signal.SIGHUP, lambda: node.runtime.spawn(reloader.reload_told(), "serve.reload")
    )


async def _answer(
    node: Node,
    config: Config,
    folder: Folder,
    listening: socket.socket,
    say: Callable[[str], None],
    stop: asyncio.Event,
) -> None:
    """Serve requests until told to stop."""
    door = LinkDoor(node)
    app = make_app(
        node,
        operator_token=folder.make_operator_token(),
        routes=[door.route()],
        fresh_settings=lambda: config.again().settings,
    )
    app.on_shutdown.insert(0, door.close)
    runner = make_runner(app)
    await runner.setup()
    try:
        await web.SockSite(runner, listening).start()
        url = address_of(listening)
        folder.note_serving(url, node.own.account)
        _take_hangups(node, app[RELOADER])
        node.runtime.spawn(keep_watch(node.runtime.clock), "serve.watch")
        tell_supervisor(READY)
        say(
            f"Serving at {url} · open it in a browser, or in a second terminal:"
            f" {folder_variable(folder.path)}{called()} account new"
        )
        await stop.wait()
    finally:
        node.stopping = True
        tell_supervisor(STOPPING)
        folder.stopped()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SHUTDOWN_S_MAX):
                await runner.cleanup()
