"""What the node says when something cannot be done: one text for the log, another for a client.

    RatoonError
    └── NodeError      a request or task that this node refuses or cannot finish; carries a `Code`

The status and the plain words of every code stand in one table, `ANSWERS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ratoon_protocol.errors import Code, ProtocolError, RatoonError


class Answer(NamedTuple):
    """How a code looks to a client: the HTTP status, and one plain sentence."""

    status: int
    words: str


#: Every code has a row: 2xx it is here, 4xx the client's turn, 5xx ours.
ANSWERS: Mapping[Code, Answer] = {
    # Outcomes of a record that was understood.
    Code.STORED: Answer(201, "Stored."),
    Code.DUPLICATE: Answer(200, "Already here."),
    Code.SUPERSEDED: Answer(200, "A newer version is already here."),
    Code.HELD: Answer(202, "Waiting for this node's moderators."),
    Code.WANTED: Answer(202, "The header is here, the content is still being fetched."),
    Code.WITHHELD: Answer(403, "This node's rules refuse the content."),
    Code.GONE: Answer(410, "Deleted by its author."),
    Code.REVOKED: Answer(
        403, "The account's keys do not cover it: revoked, or not allowed to sign this."
    ),
    Code.CAPPED: Answer(429, "Above the number of records one key may sign in a day."),
    Code.INVALID: Answer(422, "The content is not valid for its kind."),
    Code.DROPPED: Answer(410, "No longer kept on this node."),
    Code.LEGAL: Answer(451, "Removed for a legal reason."),
    # Bytes.
    Code.EMPTY: Answer(400, "Nothing was sent."),
    Code.TOO_LARGE: Answer(413, "Too large."),
    Code.MALFORMED: Answer(400, "The bytes do not decode."),
    Code.TRUNCATED: Answer(400, "The end is missing."),
    Code.TRAILING: Answer(400, "There are bytes after the end."),
    Code.TOO_DEEP: Answer(400, "Nested too deeply."),
    Code.NON_CANONICAL: Answer(400, "Not in the one allowed spelling."),
    Code.BAD_TYPE: Answer(400, "A value has the wrong type."),
    Code.BAD_LENGTH: Answer(400, "A value has the wrong length."),
    Code.OUT_OF_RANGE: Answer(400, "A number is out of range."),
    Code.BAD_UTF8: Answer(400, "A text is not UTF-8."),
    Code.BAD_TEXT: Answer(400, "A text has characters that are not allowed."),
    Code.TOO_LONG: Answer(400, "A text is too long."),
    Code.TOO_MANY: Answer(400, "Too many items."),
    Code.BAD_BODY: Answer(400, "A field is missing or does not fit its kind."),
    Code.UNSUPPORTED: Answer(400, "This node does not know this version or kind yet."),
    Code.WRONG_NETWORK: Answer(400, "This belongs to another network."),
    Code.WRONG_ACCOUNT: Answer(409, "Another node answers at this address."),
    # Keys and signatures.
    Code.BAD_KEY: Answer(400, "This key may not be used."),
    Code.BAD_SIGNATURE: Answer(400, "The signature does not fit."),
    Code.BAD_PROOF: Answer(400, "A key's proof does not fit."),
    Code.BAD_PHRASE: Answer(400, "These are not valid recovery words."),
    Code.BAD_SEAL: Answer(400, "A sealed message does not open or has the wrong form."),
    # Records.
    Code.PAYLOAD_MISMATCH: Answer(400, "The payload is not the one that was signed."),
    Code.ID_MISMATCH: Answer(400, "The record is not the one that was named."),
    Code.BAD_SLOT: Answer(400, "The slot does not fit the content."),
    Code.BAD_CHAIN: Answer(400, "The place in the author's chain contradicts itself."),
    Code.BAD_TARGET: Answer(400, "What it points at does not fit."),
    Code.FUTURE: Answer(400, "Dated in the future: check the clock of the device."),
    Code.TOO_OLD: Answer(400, "Dated before the network began."),
    # Authority and admission.
    Code.UNKNOWN_KEY: Answer(403, "The account does not list this key."),
    Code.UNKNOWN_ACCOUNT: Answer(404, "This account is not known here."),
    Code.BAD_OPERATION: Answer(422, "The identity operation is not valid at its place."),
    Code.PENDING: Answer(409, "Waiting for an earlier identity operation."),
    Code.NOT_HOSTED: Answer(403, "This node does not host the account."),
    Code.NOT_HOME: Answer(403, "The account does not list this node as a home."),
    Code.RATE: Answer(429, "Too fast: try again later."),
    Code.BUSY: Answer(503, "Busy: try again in a moment."),
    # Links and sessions.
    Code.BAD_HANDSHAKE: Answer(400, "The handshake failed."),
    Code.BAD_FRAME: Answer(400, "A frame does not decode."),
    Code.UNEXPECTED_FRAME: Answer(400, "A frame came at the wrong time."),
    Code.SYNC_MALFORMED: Answer(400, "A reconciliation message does not decode."),
    Code.BLOCKED: Answer(403, "Blocked on this node."),
    Code.SELF_LINK: Answer(409, "This node is the one that was called."),
    Code.REPLACED: Answer(409, "A newer link took its place."),
    Code.TIMEOUT: Answer(504, "It took too long."),
    Code.CLOCK: Answer(400, "The clocks are too far apart."),
    Code.SHUTDOWN: Answer(503, "This node is stopping."),
    # Requests.
    Code.BAD_REQUEST: Answer(400, "The request is not valid."),
    Code.NOT_FOUND: Answer(404, "Not found on this node."),
    Code.UNAUTHORISED: Answer(401, "Not allowed without the right key."),
    Code.ENCODING_REFUSED: Answer(415, "This content encoding is not accepted."),
    Code.INVITE_NEEDED: Answer(403, "This node takes new accounts by invitation."),
    Code.NAME_TAKEN: Answer(409, "Somebody has this name, or one that looks like it."),
    Code.BAD_ADDRESS: Answer(400, "This address may not be used."),
    Code.INTERNAL: Answer(500, "Something went wrong on this node."),
}


# When to come back to a node that is busy and does not know for how long.
BUSY_RETRY_MS = 1000


class NodeError(RatoonError):
    """Something this node refuses or cannot do.

    `code` is the stable word. `safe` is the sentence a client may see (the code's own words
    unless given); `detail` is for the log and never leaves the node. `retry_ms` says after how
    long another try makes sense, None if waiting does not help: it always does for `busy`.
    """

    def __init__(
        self, code: Code, *, safe: str = "", detail: str = "", retry_ms: int | None = None
    ) -> None:
        super().__init__(f"{code.value}: {detail}" if detail else code.value)
        self.code = code
        self.safe = safe or ANSWERS[code].words
        self.detail = detail
        self.retry_ms = BUSY_RETRY_MS if code is Code.BUSY and retry_ms is None else retry_ms

    @property
    def status(self) -> int:
        """The HTTP status of the code."""
        return ANSWERS[self.code].status


def told(error: ProtocolError) -> NodeError:
    """A protocol error as a client may see it: the same code, its detail kept for the log."""
    return NodeError(error.code, detail=error.detail)
