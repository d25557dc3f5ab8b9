"""What can go wrong for a client of nodes.

All of it is a `ClientError`; what cannot even be read is the protocol's own error.

    RatoonError
    └── ClientError
        ├── Unreachable    no node answered
        ├── Refused        a node answered with an error; carries its stable code
        ├── Untrue         a node gave something that does not verify
        └── BadKeyFile     the key file is missing, damaged, behind, or a copy
"""

from __future__ import annotations

from ratoon_protocol.errors import RatoonError


class ClientError(RatoonError):
    """A client of nodes cannot go on."""


class Unreachable(ClientError):
    """No node answered; the message says which were asked, and why each did not."""


class Refused(ClientError):
    """A node answered with an error.

    `code` is the stable word, `status` the one of HTTP; `retry_ms` says when another try makes
    sense, None if waiting does not help.
    """

    def __init__(self, code: str, words: str, status: int, retry_ms: int | None = None) -> None:
        super().__init__(f"{code}: {words}")
        self.code = code
        self.words = words
        self.status = status
        self.retry_ms = retry_ms


class Untrue(ClientError):
    """A node gave something that does not verify: altered, forged, or another than asked for."""


class BadKeyFile(ClientError):
    """A key file nothing can be signed with; the message says what to do.

    `cause` is a word for programs: `copied`, `behind`, `usage` (a name that cannot be one),
    `failed`.
    """

    def __init__(self, words: str, cause: str = "failed") -> None:
        super().__init__(words)
        self.cause = cause
