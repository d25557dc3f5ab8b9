"""Sessions: both roles reach the exact difference, within limits, whatever happens in between."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratoon_protocol.errors import Code, SyncError, UsageError
from ratoon_protocol.limits import RECONCILE_RANGES_MAX
from ratoon_protocol.reconcile import Index, Reconciler, Window
from ratoon_protocol.reconcile.wire import read_ranges
from tests.protocol.vectors_reconcile import transcript

Item = tuple[int, bytes]
LIMIT = st.sampled_from([0, 4096, 5000, 60_000])


def made(rng: random.Random, count: int, seconds: int, prefix: bytes = b"") -> list[Item]:
    return [
        (rng.randrange(seconds), prefix + rng.randbytes(32 - len(prefix))) for _ in range(count)
    ]


def ids(items: set[Item]) -> set[str]:
    return {record_id.hex() for _, record_id in items}


def run(client: Reconciler, server: Reconciler) -> tuple[set[str], set[str], list[bytes]]:
    session = transcript(client, server)
    messages = [bytes.fromhex(message) for message in session["messages"]]
    return set(session["have"]), set(session["need"]), messages


@given(
    st.integers(0, 2**32),
    st.tuples(*[st.sampled_from([0, 1, 15, 31, 32, 33, 200, 700])] * 3),
    st.sampled_from([1, 3, 100, 10**6]),
    st.sampled_from([b"", b"\0", b"\xab" * 16, b"\xff" * 28]),
    LIMIT,
    LIMIT,
)
def test_the_exact_difference(seed, counts, seconds, prefix, client_limit, server_limit):
    rng = random.Random(seed)
    common, mine, theirs = (made(rng, count, seconds, prefix) for count in counts)
    client = Reconciler(Index(common + mine), client_limit)
    server = Reconciler(Index(common + theirs), server_limit)
    have, need, messages = run(client, server)
    assert have == ids(set(mine) - set(theirs))
    assert need == ids(set(theirs) - set(mine))
    for limit, sent in ((client_limit, messages[::2]), (server_limit, messages[1::2])):
        assert not limit or max(map(len, sent)) <= limit


@given(st.dictionaries(st.binary(min_size=32, max_size=32), st.integers(0, 3), max_size=80))
def test_small_sets_of_any_shape(seconds: dict[bytes, int]):
    items = [(second, record_id) for record_id, second in seconds.items()]
    mine, theirs = set(items[::2] + items[::3]), set(items[1::2] + items[::3])
    have, need, _ = run(Reconciler(Index(mine)), Reconciler(Index(theirs)))
    assert have == ids(mine - theirs)
    assert need == ids(theirs - mine)


def test_equal_sets_cost_one_round():
    items = made(random.Random(1), 5000, 1000)
    have, need, messages = run(Reconciler(Index(items)), Reconciler(Index(items)))
    assert (have, need, len(messages)) == (set(), set(), 2)
    assert sum(map(len, messages)) < 400


def test_a_long_message_is_worked_on_in_slices_while_the_set_changes():
    """What comes and goes between two slices shifts every position; no difference is lost."""
    rng = random.Random(4)
    items, others = made(rng, 40_000, 1000), made(rng, 400, 1000)
    mine, theirs = Index(items[600:] + others), Index(items)
    client, server = Reconciler(mine, 60_000), Reconciler(theirs, 60_000)
    passing = iter(made(rng, 400, 1000))
    have: set[bytes] = set()
    need: set[bytes] = set()
    longest = 0
    message: bytes | None = client.initiate()
    while message is not None:
        for side, index in ((server, theirs), (client, mine)):
            turn = side.begin(message)
            slices = 1
            while not turn.work():
                slices += 1
                item = next(passing)
                (index.erase if index.insert(*item) and slices % 2 else index.insert)(*item)
            longest = max(longest, slices)
            message = bytes(turn.out)
        step = turn.step()
        have.update(step.have)
        need.update(step.need)
        message = step.reply
    assert longest >= 8, "one message was worked on in many slices"
    assert have >= {record_id for _, record_id in others}
    assert need >= {record_id for _, record_id in items[:600]}


def test_a_malformed_end_is_an_error_even_where_the_answer_is_full():
    server = Reconciler(Index(made(random.Random(5), 60_000, 100_000)), 4096)
    # 400 fingerprints, each of a second more, that fit nothing.
    message = b"\x61" + 400 * (bytes([2, 0, 1]) + bytes(16))
    assert len(server.respond(message)) <= 4096
    with pytest.raises(SyncError) as error:
        server.respond(message + b"\x80")
    assert error.value.code is Code.SYNC_MALFORMED


def test_windows_compare_only_what_lies_inside():
    rng = random.Random(2)
    common, old, new = made(rng, 500, 1000), made(rng, 90, 400), made(rng, 90, 600)
    new = [(400 + second, record_id) for second, record_id in new]
    client = Reconciler(Window(Index(common + old + new), 400))
    have, need, _ = run(client, Reconciler(Window(Index(common), 400)))
    assert (have, need) == (ids(set(new)), set())
    # A peer whose window begins earlier learns nothing from before this one's horizon.
    server = Reconciler(Window(Index(common + old), 400))
    have, need, _ = run(Reconciler(Index(new)), server)
    assert need == ids({item for item in common if item[0] >= 400})


def changed_between(change: Callable[[Index, Index], None], limit: int) -> set[str]:
    """A session in which the sets change before every message; what the client has or needs."""
    rng = random.Random(3)
    common = made(rng, 2000, 300)
    mine, theirs = Index(common + made(rng, 300, 300)), Index(common + made(rng, 300, 300))
    missing = ids(set(mine.items(0, 10**6)) ^ set(theirs.items(0, 10**6)))
    client, server = Reconciler(mine, limit), Reconciler(theirs, limit)
    found: set[str] = set()
    message: bytes | None = client.initiate()
    while message is not None:
        change(mine, theirs)
        answer = server.respond(message)
        change(theirs, mine)
        step = client.proceed(answer)
        found |= {record_id.hex() for record_id in step.have + step.need}
        message = step.reply
    assert found
    return missing - found


@pytest.mark.parametrize("limit", [0, 4096])
def test_inserts_between_messages_lose_nothing(limit: int):
    rng = random.Random(4)

    def insert(first: Index, second: Index) -> None:
        first.bulk(made(rng, 20, 300))
        second.bulk(made(rng, 3, 300))

    assert changed_between(insert, limit) == set()


@pytest.mark.parametrize("limit", [0, 4096])
def test_erasing_between_messages_breaks_nothing(limit: int):
    rng = random.Random(5)

    def erase(first: Index, second: Index) -> None:
        for index in (first, second):
            for item in rng.sample(index.items(0, len(index)), min(40, len(index))):
                index.erase(*item)

    changed_between(erase, limit)


def test_range_limit_binds_the_writer_too():
    rng = random.Random(6)
    common = made(rng, 3000, 3000)
    mine, theirs = made(rng, 400, 3000), made(rng, 400, 3000)
    client = Reconciler(Index(common + mine), ranges_max=24)
    have, need, messages = run(client, Reconciler(Index(common + theirs), ranges_max=24))
    assert (have, need) == (ids(set(mine)), ids(set(theirs)))
    assert max(len(read_ranges(message, None)) for message in messages) <= 24


def test_default_range_limit():
    server = Reconciler(Index())
    skips = b"\x02\0\0"
    assert server.respond(b"\x61" + skips * RECONCILE_RANGES_MAX) == b"\x61"
    with pytest.raises(SyncError):
        server.respond(b"\x61" + skips * (RECONCILE_RANGES_MAX + 1))


def test_ids_named_twice_in_a_list_count_once():
    client = Reconciler(Index([(1, b"a" * 32)]))
    client.initiate()
    step = client.proceed(
        bytes.fromhex("6100000204") + b"b" * 32 + b"a" * 32 + b"b" * 32 + b"a" * 32
    )
    assert (step.reply, step.have, step.need) == (None, [], [b"b" * 32])


def test_a_bogus_list_of_a_million_ids_costs_nothing():
    with pytest.raises(SyncError) as caught:
        Reconciler(Index()).respond(bytes.fromhex("61000002bd8440"))
    assert caught.value.code == Code.SYNC_MALFORMED


def attempt(take: Callable[[bytes], object], message: bytes) -> Code | None:
    """What taking a message ends with; any other exception fails the test."""
    try:
        take(message)
    except SyncError as error:
        return error.code
    return None


DECLARED = {None, Code.SYNC_MALFORMED, Code.UNSUPPORTED}


@given(st.binary(max_size=200))
def test_any_bytes_give_an_answer_or_the_declared_error(data: bytes):
    index = Index(made(random.Random(7), 50, 5))
    client, server = Reconciler(index, 4096), Reconciler(index, 4096)
    client.initiate()
    for message in (data, b"\x61" + data):
        assert {attempt(client.proceed, message), attempt(server.respond, message)} <= DECLARED


@given(st.integers(0, 2**32), st.integers(0, 900), st.binary(min_size=1, max_size=1))
def test_a_damaged_message_gives_an_answer_or_the_declared_error(seed, place, byte):
    rng = random.Random(seed)
    client = Reconciler(Index(made(rng, 60, 3)))
    server = Reconciler(Index(made(rng, 60, 3)))
    first = client.initiate()
    damaged = first[:place] + byte + first[place + 1 :]
    assert attempt(server.respond, damaged) in DECLARED
    answer = server.respond(first)
    assert attempt(client.proceed, answer[:place] + byte + answer[place + 1 :]) in DECLARED


def test_roles_are_not_mixed():
    client, server = Reconciler(Index()), Reconciler(Index())
    with pytest.raises(UsageError):
        server.proceed(b"\x61")
    client.initiate()
    with pytest.raises(UsageError):
        client.initiate()
    with pytest.raises(UsageError):
        client.respond(b"\x61")


def test_frame_limits_below_the_smallest_are_refused():
    with pytest.raises(UsageError):
        Reconciler(Index(), 4095)
    Reconciler(Index(), 4096)
