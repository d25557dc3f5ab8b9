"""`python -m ratoon_protocol.reconcile`: one side of a session on standard input and output.

The environment variable FRAMESIZELIMIT is the longest message in bytes, 0 or unset for none.
"""

from __future__ import annotations

import sys
from os import environ

from ratoon_protocol.errors import RatoonError
from ratoon_protocol.reconcile.harness import converse


def main() -> int:
    """Answer line by line; exit code 1 and one line on standard error for bad input."""
    try:
        for answer in converse(sys.stdin, int(environ.get("FRAMESIZELIMIT") or 0)):
            print(answer, flush=True)
    except (RatoonError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
