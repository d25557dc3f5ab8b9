"""The error codes of the protocol and the exceptions that carry them.

One stable word per cause, the same in vectors, frames, API answers, metrics and logs (R-9).

    RatoonError
    ├── UsageError            the caller of this library broke its contract
    └── ProtocolError         what came from outside is wrong; carries a `Code`
        ├── DecodeError       bytes that do not decode, or decode in a second spelling
        ├── SignatureError    a key or a signature
        ├── RecordError       a record that decodes but cannot be accepted
        ├── IdentityError     an identity operation that is not valid
        ├── SyncError         a reconciliation message (closes the session)
        └── LinkError         a handshake or frame (closes the link)
"""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """Why something was, or was not, accepted. The words are frozen; new ones may be added."""

    # Outcomes of a record that was understood.
    STORED = "stored"  # bytes durable here, visible as the disposition says
    DUPLICATE = "duplicate"  # the same id was already here; the first signature is kept
    SUPERSEDED = "superseded"  # a newer value of the same slot is here
    HELD = "held"  # bytes kept for moderators only
    WITHHELD = "withheld"  # policy keeps the header and refuses the payload
    GONE = "gone"  # deleted by its author, or the account vanished
    REVOKED = "revoked"  # the key's authority does not cover it
    CAPPED = "capped"  # above the daily cap of its key and lane
    INVALID = "invalid"  # the payload fits its hash but is not a valid body
    WANTED = "wanted"  # the header is here, its bytes are asked for
    DROPPED = "dropped"  # bytes no longer kept here (superseded, or behind the horizon)
    LEGAL = "legal"  # removed for a legal reason; nothing more is said
    # Bytes.
    EMPTY = "empty"
    TOO_LARGE = "too_large"
    MALFORMED = "malformed"
    TRUNCATED = "truncated"  # a bundle that ends before its end mark
    TRAILING = "trailing"
    TOO_DEEP = "too_deep"
    NON_CANONICAL = "non_canonical"
    BAD_TYPE = "bad_type"
    BAD_LENGTH = "bad_length"
    OUT_OF_RANGE = "out_of_range"
    BAD_UTF8 = "bad_utf8"
    BAD_TEXT = "bad_text"
    TOO_LONG = "too_long"
    TOO_MANY = "too_many"
    BAD_BODY = "bad_body"  # a field is missing or does not fit its kind
    UNSUPPORTED = "unsupported"  # unknown version, class or critical kind: not remembered
    WRONG_NETWORK = "wrong_network"
    # Keys and signatures.
    BAD_KEY = "bad_key"
    BAD_SIGNATURE = "bad_signature"
    BAD_PROOF = "bad_proof"
    BAD_SEAL = "bad_seal"  # an envelope that does not open, or belongs to another record
    BAD_PHRASE = "bad_phrase"
    # Records.
    PAYLOAD_MISMATCH = "payload_mismatch"
    ID_MISMATCH = "id_mismatch"
    BAD_SLOT = "bad_slot"
    BAD_CHAIN = "bad_chain"  # seq and prev contradict each other in the header itself
    BAD_TARGET = "bad_target"
    FUTURE = "future"
    TOO_OLD = "too_old"
    # Authority and admission.
    UNKNOWN_KEY = "unknown_key"  # no operation held here lists the key: not remembered
    UNKNOWN_ACCOUNT = "unknown_account"  # its identity log is not here yet: not remembered
    BAD_OPERATION = "bad_operation"
    PENDING = "pending"  # an identity operation whose path is not here yet
    NOT_HOSTED = "not_hosted"
    NOT_HOME = "not_home"
    RATE = "rate"
    BUSY = "busy"
    # Links and sessions.
    BAD_HANDSHAKE = "bad_handshake"
    BAD_FRAME = "bad_frame"
    UNEXPECTED_FRAME = "unexpected_frame"
    SYNC_MALFORMED = "sync_malformed"
    BLOCKED = "blocked"
    SELF_LINK = "self_link"
    WRONG_ACCOUNT = "wrong_account"  # another node answers at this address
    REPLACED = "replaced"
    TIMEOUT = "timeout"
    CLOCK = "clock"
    SHUTDOWN = "shutdown"
    # Requests.
    BAD_REQUEST = "bad_request"
    NOT_FOUND = "not_found"
    UNAUTHORISED = "unauthorised"
    ENCODING_REFUSED = "encoding_refused"
    INVITE_NEEDED = "invite_needed"
    NAME_TAKEN = "name_taken"
    BAD_ADDRESS = "bad_address"
    INTERNAL = "internal"


#: Refusals that time may cure: never remembered, so the record is welcome later (R-70).
TRANSIENT = frozenset(
    {
        Code.FUTURE,
        Code.RATE,
        Code.BUSY,
        Code.UNKNOWN_KEY,
        Code.UNKNOWN_ACCOUNT,
        Code.PENDING,
        Code.NOT_HOSTED,
        Code.UNSUPPORTED,
    }
)


class RatoonError(Exception):
    """The root of every error this project raises on purpose."""


class UsageError(RatoonError):
    """The caller broke the contract of this library: a bug on this side."""


class ProtocolError(RatoonError):
    """Something from outside is wrong. `code` is the stable word, `detail` is for logs."""

    def __init__(self, code: Code, detail: str = "") -> None:
        super().__init__(f"{code.value}: {detail}" if detail else code.value)
        self.code = code
        self.detail = detail


class DecodeError(ProtocolError):
    """Bytes that do not decode, or not in the one allowed spelling."""


class SignatureError(ProtocolError):
    """A key that may not be used, or a signature that does not verify."""


class RecordError(ProtocolError):
    """A record that decodes but cannot be accepted."""


class IdentityError(ProtocolError):
    """An identity operation that is not valid at its place."""


class SyncError(ProtocolError):
    """A reconciliation message that no honest peer sends."""


class LinkError(ProtocolError):
    """A handshake or frame that ends the link."""
