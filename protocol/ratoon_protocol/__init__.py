"""The Ratoon protocol as a library without I/O: records, identity, status, reconciliation, links.

Nothing here opens a file or a socket, reads a clock or draws randomness: bytes, time and
random bytes come in as arguments. `protocol/SPEC.md` is the standard this package follows.
"""
