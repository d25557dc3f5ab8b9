"""Signing in to a home: a challenge, answered by the device key (R-127)."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ratoon_client.errors import Refused, Unreachable, Untrue
from ratoon_client.keyfile import KeyFile
from ratoon_client.nodes import Answer, Nodes

_JSON = {"Content-Type": "application/json"}


class Sessions:
    """The token of each node that this client signed in to, in memory alone."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._tokens: dict[tuple[str, str], str] = {}

    async def ask(
        self,
        file: KeyFile,
        method: str,
        path: str,
        query: Mapping[str, str | int | None] | None = None,
    ) -> Answer:
        """Ask the first home that answers, signed in. Raises `Refused`, `Unreachable`."""
        refused: Refused | None = None
        failures: list[str] = []
        for node in self._nodes.in_order():
            try:
                return await self._ask_one(file, node, method, path, query)
            except Refused as error:
                refused = error  # not a home of the account, or not in the mood
            except Unreachable as error:
                failures.append(str(error))
                self._nodes.failed(node)
        raise refused or Unreachable("; ".join(failures))

    async def _ask_one(
        self,
        file: KeyFile,
        node: str,
        method: str,
        path: str,
        query: Mapping[str, str | int | None] | None,
    ) -> Answer:
        for fresh in (False, True):
            headers = {"Authorization": f"Bearer {await self.token(file, node, fresh)}"}
            try:
                return await self._nodes.ask_one(node, method, path, query, None, headers)
            except Refused as error:
                if error.code != "unauthorised" or fresh:
                    raise
        raise AssertionError("the second try returns or raises")

    async def token(self, file: KeyFile, node: str, fresh: bool = False) -> str:
        """The token of one node; with `fresh` a new one. Raises `Refused`, `Unreachable`."""
        if fresh:
            self._tokens.pop((node, file.account), None)
        if (node, file.account) not in self._tokens:
            self._tokens[node, file.account] = await self._sign_in(file, node)
        return self._tokens[node, file.account]

    async def _sign_in(self, file: KeyFile, node: str) -> str:
        asked = json.dumps({"account": file.account}).encode()
        try:
            challenge = (
                await self._nodes.ask_one(node, "POST", "/v1/session/challenge", None, asked, _JSON)
            ).json()
            answer = json.dumps(file.sign_in(node, challenge)).encode()
            found = (
                await self._nodes.ask_one(node, "POST", "/v1/session", None, answer, _JSON)
            ).json()
            return str(found["token"])
        except (KeyError, TypeError, ValueError):
            raise Untrue(f"{node} signs in otherwise than it should") from None
