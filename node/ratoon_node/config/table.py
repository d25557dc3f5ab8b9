"""The table of settings: one row each, with its type, default, bounds, and what it does."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_origin, get_type_hints
from urllib.parse import urlsplit

from ratoon_protocol.limits import (
    ADDRESSES_MAX,
    BATCH_RECORDS_MAX,
    LINE_BYTES_MAX,
    NETWORK_PUBLIC,
    RECORD_BYTES_MAX,
    URL_BYTES_MAX,
)

#: Answers what is wrong with a value (with each item of a list), or "" if nothing is.
Check = Callable[[Any], str]

ENV_PREFIX = "RATOON_"
SCHEMES = ("https", "http", "wss", "ws")
MIB = 1024 * 1024


@dataclass(frozen=True)
class Row:
    """What a setting is for and may be. Bounds are inclusive, and count the items of a list."""

    doc: str
    unit: str = ""
    low: int | None = None
    high: int | None = None
    choices: tuple[str, ...] = ()
    check: Check | None = None
    #: A running node takes a new value at `ratoon reload`; others need a new start.
    live: bool = False


def _line(value: str) -> str:
    if len(value.encode()) > LINE_BYTES_MAX:
        return f"is longer than {LINE_BYTES_MAX} bytes"
    return "" if value.isprintable() else "has characters that cannot be printed"


def _matches(pattern: str, words: str) -> Check:
    return lambda value: "" if re.fullmatch(pattern, value) else f"is not {words}"


def _domain(value: str) -> str:
    known = re.fullmatch("([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)?", value)
    return "" if known else "is not a domain such as node.example, in small letters"


def _address(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in SCHEMES and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or len(value.encode()) > URL_BYTES_MAX:
        return f"is not an address such as https://node.example (schemes: {', '.join(SCHEMES)})"
    if parts.username or parts.password or parts.query or parts.fragment:
        return "has a user, a query or a fragment, which addresses of nodes do not have"
    return ""


def _network_of_addresses(value: str) -> str:
    try:
        ipaddress.ip_network(value)
    except ValueError:
        return "is not an address or a network such as 10.0.0.0/8"
    return ""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What an operator may choose; each row is a setting. Paths may begin with `~`."""

    # Where it lives.
    data_dir: Annotated[Path, Row("Folder of this node's keys, database and media.")] = Path(
        "~/.local/share/ratoon"
    )
    host: Annotated[str, Row("Address to listen on; 0.0.0.0 or :: for all of the machine's.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Row("Port to listen on; 0 takes a free one.", low=0, high=65_535)] = 7420
    public_addresses: Annotated[
        tuple[str, ...],
        Row(
            "Addresses by which others reach this node.",
            high=ADDRESSES_MAX,
            check=_address,
            live=True,
        ),
    ] = ()
    peers: Annotated[
        tuple[str, ...],
        Row(
            "Addresses of nodes to call first; more are learnt from them.", high=64, check=_address
        ),
    ] = ()
    accept_private_addresses: Annotated[
        bool, Row("Call nodes at loopback and private addresses too: for a LAN, a demo, tests.")
    ] = False
    network_id: Annotated[
        str,
        Row(
            "The network, 16 hexadecimal digits; another one shares nothing with the public one.",
            check=_matches("[0-9a-f]{16}", "16 hexadecimal digits in lower case"),
        ),
    ] = NETWORK_PUBLIC.hex()
    # What it says of itself.
    name: Annotated[str, Row("Name of this node, shown to people.", check=_line, live=True)] = ""
    provider: Annotated[
        str, Row("Company whose machines it runs on; copies are counted by it.", check=_line)
    ] = ""
    country: Annotated[
        str,
        Row(
            "Country where it runs, as two letters (ISO 3166-1).",
            check=_matches("([A-Z]{2})?", "two capital letters"),
        ),
    ] = ""
    network: Annotated[
        str,
        Row(
            "Number of the network (autonomous system) it is in, such as AS64500.",
            check=_matches("(AS[0-9]{1,10})?", "AS and a number"),
            live=True,
        ),
    ] = ""
    domain: Annotated[
        str,
        Row(
            "Domain of the names this node gives out (`name@domain`); empty takes the host of the"
            " first public address.",
            check=_domain,
            live=True,
        ),
    ] = ""
    # Whom and what it takes.
    operators: Annotated[
        tuple[str, ...],
        Row(
            "Accounts that may do the operator's work once they sign in.",
            high=64,
            check=_matches("[0-9a-f]{64}", "an account, 64 hexadecimal digits in lower case"),
            live=True,
        ),
    ] = ()
    registration: Annotated[
        str,
        Row(
            "Who may make this node their home: nobody, people with an invitation, anyone.",
            choices=("closed", "invite", "open"),
            live=True,
        ),
    ] = "invite"
    policy_file: Annotated[
        Path, Row("The rules at ingest; a relative path is inside the data folder.", live=True)
    ] = Path("policy.toml")
    horizon_days: Annotated[
        int,
        Row(
            "Posts of accounts at home elsewhere are dropped at this age; 0 keeps all.",
            unit="days",
            low=0,
            high=36_500,
        ),
    ] = 0
    # Memory: what waits, and how much of it may.
    intake_records_max: Annotated[
        int,
        Row(
            "Records waiting to be checked; past it, senders are told `busy`.",
            unit="records",
            low=100,
            high=1_000_000,
        ),
    ] = 20_000
    intake_bytes_max: Annotated[
        int, Row("Bytes of those records together.", unit="bytes", low=MIB, high=4096 * MIB)
    ] = 32 * MIB
    batch_records_max: Annotated[
        int, Row("Records in one commit.", unit="records", low=1, high=BATCH_RECORDS_MAX)
    ] = 3000
    streams_max: Annotated[
        int,
        Row(
            "Clients following the stream at once.", unit="streams", low=0, high=100_000, live=True
        ),
    ] = 1000
    stream_queue_max: Annotated[
        int,
        Row(
            "Records waiting for one slow client of the stream before it is cut off.",
            unit="records",
            low=10,
            high=100_000,
        ),
    ] = 1000
    links_max: Annotated[
        int, Row("Links to other nodes at once.", unit="links", low=1, high=4096)
    ] = 64
    push_links: Annotated[
        int,
        Row(
            "Links that get new records whole; the others are only told of them.",
            unit="links",
            low=1,
            high=64,
        ),
    ] = 6
    link_queue_bytes_max: Annotated[
        int,
        Row(
            "Bytes waiting for one slow link before they are dropped and reconciled later.",
            unit="bytes",
            low=MIB // 4,
            high=256 * MIB,
        ),
    ] = 4 * MIB
    strangers_bytes_per_second_max: Annotated[
        int,
        Row(
            "What nodes that you did not add get together in answers; 0 sets no limit. One of"
            " them that begins anew has a million records in two minutes by the default.",
            unit="bytes",
            low=0,
            high=4096 * MIB,
        ),
    ] = 8 * MIB
    # Requests.
    monitors: Annotated[
        tuple[str, ...],
        Row(
            "Addresses (or networks) that may read /readyz and /metrics without the operator's"
            " token.",
            high=64,
            check=_network_of_addresses,
            live=True,
        ),
    ] = ("127.0.0.0/8", "::1")
    request_bytes_max: Annotated[
        int, Row("Body of one request.", unit="bytes", low=RECORD_BYTES_MAX, high=256 * MIB)
    ] = 8 * MIB
    requests_active_max: Annotated[
        int, Row("Requests being answered at once.", unit="requests", low=8, high=65_536, live=True)
    ] = 512
    requests_per_minute_max: Annotated[
        int,
        Row(
            "What one address, or one account that is signed in, may read in a minute; ten items"
            " of an answer count as one more request; 0 sets no limit.",
            unit="requests",
            low=0,
            high=10_000_000,
        ),
    ] = 600
    records_per_minute_max: Annotated[
        int,
        Row(
            "Records that one address may publish in a minute; long ones count by their bytes;"
            " 0 sets no limit.",
            unit="records",
            low=0,
            high=10_000_000,
        ),
    ] = 6000
    entries_per_minute_max: Annotated[
        int,
        Row(
            "Sign-ups and sign-ins that one address may begin in a minute; 0 sets no limit.",
            unit="requests",
            low=0,
            high=10_000_000,
        ),
    ] = 30
    trusted_proxies: Annotated[
        tuple[str, ...],
        Row(
            "Addresses (or networks, such as 10.0.0.0/8) of proxies in front of this node, whose"
            " X-Forwarded-For says who is charged.",
            high=64,
            check=_network_of_addresses,
            live=True,
        ),
    ] = ()
    request_timeout_ms_max: Annotated[
        int,
        Row("Time a client has to send a request.", unit="ms", low=1000, high=600_000, live=True),
    ] = 30_000
    wait_timeout_ms_max: Annotated[
        int,
        Row(
            "Longest a publisher may wait for receipts of other nodes.",
            unit="ms",
            low=0,
            high=600_000,
            live=True,
        ),
    ] = 60_000
    page_records_max: Annotated[
        int,
        Row("Records in one answer of a listing.", unit="records", low=10, high=1000),
    ] = 200
    # The machine.
    signature_processes: Annotated[
        int,
        Row(
            "Processes that check signatures; 0 has the node's own threads do it, which takes"
            " 25 MiB less memory and half the speed.",
            unit="processes",
            low=0,
            high=64,
        ),
    ] = 1
    signature_threads: Annotated[
        int,
        Row(
            "Threads that check signatures where no process does, or while one is made anew.",
            unit="threads",
            low=1,
            high=64,
        ),
    ] = 2
    readers: Annotated[
        int, Row("Connections that read the database.", unit="threads", low=1, high=64)
    ] = 2
    log_level: Annotated[
        str,
        Row("The least that is logged.", choices=("debug", "info", "warning", "error"), live=True),
    ] = "info"
    log_format: Annotated[
        str,
        Row(
            "Form of the log: `auto` is for people on a terminal and JSON lines elsewhere.",
            choices=("auto", "console", "json"),
            live=True,
        ),
    ] = "auto"

    @property
    def name_domain(self) -> str:
        """The domain of the names given out here; "" for none."""
        first = next(iter(self.public_addresses), "")
        return (self.domain or urlsplit(first).hostname or "").lower()

    @property
    def network_bytes(self) -> bytes:
        """The network as the 8 bytes that records carry."""
        return bytes.fromhex(self.network_id)

    @property
    def operator_accounts(self) -> frozenset[bytes]:
        """The operators, as the 32 bytes of an account."""
        return frozenset(map(bytes.fromhex, self.operators))

    @property
    def policy_path(self) -> Path:
        """Where the rules at ingest are; the file need not exist."""
        return self.data_dir / self.policy_file


@dataclass(frozen=True)
class Setting(Row):
    """A row of the table with its name, for whoever shows or parses it."""

    name: str = ""
    kind: type[Any] = str  # bool, int, str, Path, or tuple for a list of texts
    default: Any = ""

    @property
    def env(self) -> str:
        """The environment variable."""
        return ENV_PREFIX + self.name.upper()

    @property
    def flag(self) -> str:
        """The flag of the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def allowed(self) -> str:
        """The values it takes, in words; "" if any of its type will do."""
        if self.choices:
            return ", ".join(self.choices)
        if self.kind is bool:
            return "true, false"
        if self.low is None:
            return f"at most {self.high} items" if self.high is not None else ""
        return f"{self.low} to {self.high} {self.unit}".rstrip()


def _table() -> dict[str, Setting]:
    table = {}
    for name, hint in get_type_hints(Settings, include_extras=True).items():
        kind, row = hint.__origin__, hint.__metadata__[0]
        table[name] = Setting(
            **vars(row), name=name, kind=get_origin(kind) or kind, default=getattr(Settings, name)
        )
    return table


#: Every setting by name, in the order of the table.
TABLE: Mapping[str, Setting] = _table()
