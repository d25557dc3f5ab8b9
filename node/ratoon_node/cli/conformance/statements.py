"""R-127: signed statements, as far as a node takes them from strangers: signing in."""

from __future__ import annotations

import base64
import secrets

import msgspec

from ratoon_node.cli.conformance.bench import Bench
from ratoon_node.cli.conformance.people import fresh_key, now_ms, pack
from ratoon_node.cli.conformance.probe_http import Answer
from ratoon_node.cli.conformance.suite import Unmet, check
from ratoon_protocol.keys import Context, SigningKey, signed_bytes
from ratoon_protocol.limits import NONCE_BYTES
from ratoon_protocol.statement import SignIn, origin_of, sign_in

# What a statement is good for when it is honest.
_EXPIRES_MS = 60_000


async def _challenged(bench: Bench, account: bytes) -> SignIn:
    """What the node gives to be signed. Raises `Unmet` where nobody can sign in."""
    data = msgspec.json.encode({"account": account.hex()})
    found = await bench.http.ask(
        "POST", "/v1/session/challenge", data, Content_Type="application/json"
    )
    match found.json:
        case {"audience": str(audience), "nonce": str(nonce)}:
            origin = origin_of(bench.options.url)
            expires_ms = now_ms() + _EXPIRES_MS
            return SignIn(
                account, bytes.fromhex(audience), origin, bytes.fromhex(nonce), expires_ms
            )
    raise Unmet(f"nobody can sign in at POST /v1/session/challenge (HTTP {found.status})")


async def _sign_in(bench: Bench, statement: bytes) -> Answer:
    form = {"statement": base64.b64encode(statement).decode()}
    data = msgspec.json.encode(form)
    return await bench.http.ask("POST", "/v1/session", data, Content_Type="application/json")


def _as_another_context(network: bytes, said: SignIn, key: SigningKey) -> bytes:
    content = pack(list(said))
    return pack([content, key.public, key.sign(signed_bytes(Context.TOKEN, network, content))])


@check("R-127", "R-19", title="signing in")
async def signing_in(bench: Bench) -> None:
    """A statement names account, node, origin, nonce and end; each must be right, and once."""
    who = await bench.resident()
    said = await _challenged(bench, who.account)
    node = await bench.node()
    bench.same("R-127", "the audience to be signed for", said.audience, node)
    network, device = bench.network, who.device
    wrong = {
        "by a key that nobody lists": sign_in(network, said, fresh_key()),
        "by an account key": sign_in(network, said, who.paper),
        "for another node": sign_in(network, said._replace(audience=bytes(32)), device),
        "for another origin": sign_in(
            network, said._replace(origin="https://elsewhere.invalid"), device
        ),
        "with a nonce of one's own": sign_in(
            network, said._replace(nonce=secrets.token_bytes(NONCE_BYTES)), device
        ),
        "that is over": sign_in(network, said._replace(expires_ms=now_ms() - 1000), device),
    }
    for case, statement in wrong.items():
        found = await _sign_in(bench, statement)
        bench.true("R-127", f"a statement {case} is refused", found.status >= 400)
    found = await _sign_in(bench, _as_another_context(network, said, device))
    bench.true("R-19", "what was signed as a token signs nobody in", found.status >= 400)
    good = sign_in(network, await _challenged(bench, who.account), device)
    found = await _sign_in(bench, good)
    bench.true("R-127", f"a right statement signs in (HTTP {found.status})", found.status < 300)
    again = await _sign_in(bench, good)
    bench.true("R-127", "the same statement again is refused", again.status >= 400)
