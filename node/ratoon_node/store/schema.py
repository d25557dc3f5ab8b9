"""The tables, as numbered migrations; each runs in one transaction and is never edited again."""

from __future__ import annotations

import sqlite3

from ratoon_node.errors import NodeError
from ratoon_protocol.errors import Code

_TABLES = """
CREATE TABLE account (
  n INTEGER PRIMARY KEY,
  id BLOB NOT NULL UNIQUE,
  first_seen_ms INTEGER NOT NULL,
  head BLOB,                           -- the identity operation that rules now
  vanished_ms INTEGER,                 -- when a vanish that is the head became it here
  vanish_final INTEGER NOT NULL DEFAULT 0,  -- 1: bytes and headers go; rank 0 signed it, or 7 days
  judged INTEGER NOT NULL DEFAULT 1    -- 0: a change of authority is still being applied
);
CREATE INDEX account_unjudged ON account(n) WHERE judged = 0;
CREATE INDEX account_leaving ON account(vanished_ms) WHERE vanish_final = 0;
CREATE TABLE chain (
  n INTEGER PRIMARY KEY,
  account INTEGER NOT NULL REFERENCES account(n),
  key BLOB NOT NULL,
  lane INTEGER NOT NULL,
  forked INTEGER NOT NULL DEFAULT 0,   -- 1: two records with one seq are held
  suspect INTEGER NOT NULL DEFAULT 0,  -- 1: hidden until a change of authority is applied
  UNIQUE (account, key, lane)
);
CREATE TABLE record (
  n INTEGER PRIMARY KEY,
  id BLOB NOT NULL,
  account INTEGER NOT NULL,
  chain INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  created_ms INTEGER NOT NULL,
  slot BLOB,
  status INTEGER NOT NULL,
  flags INTEGER NOT NULL,              -- why: Flag bits
  disposition INTEGER NOT NULL,
  bytes_state INTEGER NOT NULL,
  shown INTEGER,                       -- journal position at which it became readable in timelines
  header BLOB NOT NULL,
  signature BLOB NOT NULL,
  payload BLOB
);
CREATE UNIQUE INDEX record_id ON record(id);
CREATE INDEX record_chain ON record(chain, seq, created_ms);
-- Only what competes: a thief's thousands of revoked values are never walked over.
CREATE INDEX record_slot ON record(account, slot, created_ms)
  WHERE slot IS NOT NULL AND flags & 19 = 0;
CREATE INDEX record_shown ON record(shown) WHERE shown IS NOT NULL;
CREATE INDEX record_author ON record(account, shown) WHERE shown IS NOT NULL;
CREATE INDEX record_account ON record(account);
CREATE INDEX record_identity ON record(account) WHERE kind = 272;
CREATE INDEX record_masked ON record(n) WHERE disposition > 0;
CREATE TABLE wanted (
  record INTEGER PRIMARY KEY,
  ask_ms INTEGER NOT NULL,             -- when it may be asked of everybody again
  asks INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX wanted_due ON wanted(ask_ms);
CREATE TABLE journal (
  n INTEGER PRIMARY KEY,
  what INTEGER NOT NULL,
  record INTEGER,
  account INTEGER,
  id BLOB,                             -- with created_ms: a header that is no longer here
  created_ms INTEGER
);
CREATE TABLE position (consumer TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

CREATE TABLE erasure (
  target BLOB NOT NULL,
  record INTEGER NOT NULL,             -- the delete that names it
  PRIMARY KEY (target, record)
) WITHOUT ROWID;
CREATE INDEX erasure_record ON erasure(record);
CREATE TABLE pointer (
  record INTEGER PRIMARY KEY,          -- a live value of a slot, and what it is about
  account INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  target BLOB NOT NULL,
  state INTEGER NOT NULL,              -- 0: it says "no longer" (unfollowed, hosting ended)
  created_ms INTEGER NOT NULL
);
CREATE INDEX pointer_from ON pointer(account, kind, target);
CREATE INDEX pointer_to ON pointer(target, kind);
CREATE TABLE edit (
  post BLOB NOT NULL,                  -- the first version: its end is the end of these bytes
  record INTEGER NOT NULL,
  PRIMARY KEY (post, record)
) WITHOUT ROWID;
CREATE INDEX edit_record ON edit(record);
CREATE TABLE mailbox (
  account INTEGER PRIMARY KEY,
  records INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  day INTEGER NOT NULL,                -- of `today`
  today INTEGER NOT NULL               -- envelopes that arrived on that day
);
CREATE TABLE account_key (
  key BLOB NOT NULL,
  account INTEGER NOT NULL,
  rank INTEGER NOT NULL,
  PRIMARY KEY (key, account)
) WITHOUT ROWID;
CREATE INDEX account_key_of ON account_key(account);

CREATE TABLE decision (
  n INTEGER PRIMARY KEY,
  record INTEGER NOT NULL,
  verdict INTEGER NOT NULL,
  reason TEXT NOT NULL,
  rule TEXT NOT NULL,
  policy TEXT NOT NULL,
  at_ms INTEGER NOT NULL
);
CREATE INDEX decision_record ON decision(record);
CREATE TABLE block (
  subject TEXT NOT NULL,               -- account, node, domain, word
  entity TEXT NOT NULL,
  verdict INTEGER NOT NULL,            -- 0: an allow, which beats every block
  reason TEXT NOT NULL,
  made_by TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  expires_ms INTEGER,
  PRIMARY KEY (subject, entity)
) WITHOUT ROWID;
CREATE TABLE peer (
  node BLOB PRIMARY KEY,
  address TEXT,                        -- where the operator or the last good link found it
  added INTEGER NOT NULL DEFAULT 0,    -- 1: by the operator
  linked_ms INTEGER,                   -- when it last proved itself on a link
  provider TEXT,                       -- as the operator confirmed it; NULL counts for nothing
  country TEXT,
  useful INTEGER NOT NULL DEFAULT 0,
  faults INTEGER NOT NULL DEFAULT 0,
  lied_ms INTEGER                      -- when it could not prove what it claimed to hold
) WITHOUT ROWID;
CREATE TABLE ack (
  record INTEGER NOT NULL,
  node BLOB NOT NULL,
  code TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  PRIMARY KEY (record, node)
) WITHOUT ROWID;
CREATE TABLE budget (
  node BLOB NOT NULL,
  day INTEGER NOT NULL,
  accounts INTEGER NOT NULL,
  headers INTEGER NOT NULL,
  PRIMARY KEY (node, day)
) WITHOUT ROWID;
CREATE TABLE invite (
  code TEXT PRIMARY KEY,
  uses INTEGER NOT NULL,
  made_ms INTEGER NOT NULL,
  expires_ms INTEGER,
  note TEXT NOT NULL
) WITHOUT ROWID;
"""

# Made from the journal by the digest, and made anew if its position is set back to 0: nothing
# here is known from anywhere else.
_DERIVED = """
CREATE TABLE reference (
  record INTEGER PRIMARY KEY,          -- a readable post, and what it refers to
  author INTEGER NOT NULL,
  position INTEGER NOT NULL,           -- its place in timelines
  parent BLOB,
  root BLOB,
  quote BLOB,
  repost BLOB
);
CREATE INDEX reference_parent ON reference(parent, position, author) WHERE parent IS NOT NULL;
CREATE INDEX reference_root ON reference(root, position, author) WHERE root IS NOT NULL;
CREATE INDEX reference_quote ON reference(quote, position, author) WHERE quote IS NOT NULL;
CREATE INDEX reference_repost ON reference(repost, position, author) WHERE repost IS NOT NULL;
CREATE INDEX reference_replies ON reference(author, position) WHERE parent IS NOT NULL;
CREATE TABLE opinion (
  record INTEGER PRIMARY KEY,          -- a live reaction that holds, or a vote
  kind INTEGER NOT NULL,
  author INTEGER NOT NULL,
  target BLOB NOT NULL,
  value TEXT NOT NULL,                 -- the emoji; the options by place, with commas
  created_ms INTEGER NOT NULL
);
CREATE INDEX opinion_target ON opinion(target, kind, author, created_ms, value);
CREATE TABLE listing (
  what INTEGER NOT NULL,               -- Listing
  key NOT NULL,                        -- a folded tag, an account's number, nothing
  position INTEGER NOT NULL,
  record INTEGER NOT NULL,
  PRIMARY KEY (what, key, position)
) WITHOUT ROWID;
CREATE INDEX listing_record ON listing(record);
CREATE TABLE resident (
  record INTEGER PRIMARY KEY,          -- a hosting record of this node that holds
  account BLOB NOT NULL
);
CREATE TABLE moving (
  account INTEGER PRIMARY KEY,         -- somebody who came or left, whose posts are gone over
  after INTEGER NOT NULL               -- up to this position they are done
);
CREATE TABLE notice (
  n INTEGER PRIMARY KEY AUTOINCREMENT, -- its place among the notifications: never used again
  account INTEGER NOT NULL,            -- who is told
  what INTEGER NOT NULL,               -- Notice
  author INTEGER NOT NULL,             -- who did it
  subject INTEGER NOT NULL,            -- what makes it the same thing: told once
  record INTEGER NOT NULL,             -- the record that says so
  target INTEGER,                      -- whose end is its end: the record it is about
  holds INTEGER NOT NULL,              -- 0: taken back, may come again
  detail TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  UNIQUE (account, what, author, subject)
);
CREATE INDEX notice_account ON notice(account, n) WHERE holds = 1;
CREATE INDEX notice_all_of ON notice(account, n);
CREATE INDEX notice_author ON notice(account, author, n);
CREATE INDEX notice_record ON notice(record, account);
CREATE TABLE poll_due (
  record INTEGER PRIMARY KEY,          -- a post with a poll that has not ended
  ends_ms INTEGER NOT NULL
);
CREATE INDEX poll_due_ends ON poll_due(ends_ms);
CREATE TABLE word_shard (
  what INTEGER NOT NULL,               -- Words: whose the full-text table is
  shard INTEGER NOT NULL,              -- the numbers in it, without their lowest 16 bits
  made INTEGER NOT NULL DEFAULT 0,     -- how often it was made anew
  erased INTEGER NOT NULL DEFAULT 0,   -- 1: words that are gone elsewhere are in it; 2: made anew
  PRIMARY KEY (what, shard)
) WITHOUT ROWID;
CREATE INDEX word_shard_erased ON word_shard(erased, what, shard) WHERE erased > 0;
CREATE TABLE person (
  account INTEGER PRIMARY KEY,         -- somebody who can be found by words
  profile INTEGER                      -- the record they are from, if not from handles alone
);
CREATE INDEX person_profile ON person(profile) WHERE profile IS NOT NULL;
CREATE TABLE trend_use (
  n INTEGER PRIMARY KEY,
  record INTEGER NOT NULL,             -- what uses a tag, or answers, shows or likes a post
  what INTEGER NOT NULL,               -- Trend
  target NOT NULL,                     -- a folded tag, a post's id
  hour INTEGER NOT NULL,               -- when it says it was made
  author INTEGER NOT NULL
);
CREATE INDEX trend_use_record ON trend_use(record);
CREATE INDEX trend_use_hour ON trend_use(hour, what, target, author);
CREATE INDEX trend_use_target ON trend_use(what, target, hour, author, record);
"""

# What people and the operator of this node have here beside records.
_PEOPLE = """
CREATE TABLE session (
  token BLOB PRIMARY KEY,              -- the hash of what the client holds
  account BLOB NOT NULL,
  key BLOB NOT NULL,                   -- the device that signed in
  made_ms INTEGER NOT NULL,
  expires_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX session_account ON session(account, made_ms);
CREATE INDEX session_expires ON session(expires_ms);
CREATE TABLE read_mark (
  account BLOB NOT NULL,
  timeline TEXT NOT NULL,
  position INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  PRIMARY KEY (account, timeline)
) WITHOUT ROWID;
"""

# Names: what this node gives out, what it found of handles, and what looks alike.
_NAMES = """
CREATE TABLE name (
  name TEXT PRIMARY KEY,               -- before the @ of a handle of this node's domain
  likeness TEXT NOT NULL UNIQUE,       -- no two names look alike
  account BLOB NOT NULL,
  at_ms INTEGER NOT NULL,
  lapsed_ms INTEGER                    -- when it was seen that it no longer counts
) WITHOUT ROWID;
CREATE INDEX name_account ON name(account, at_ms);
CREATE TABLE handle (
  account INTEGER NOT NULL,
  handle TEXT NOT NULL,
  place INTEGER NOT NULL,              -- where the account's head lists it
  verified_ms INTEGER,                 -- when the domain last said so too; NULL: not, or no more
  checked_ms INTEGER,
  next_ms INTEGER NOT NULL,            -- when to ask again
  failures INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (account, handle)
) WITHOUT ROWID;
CREATE INDEX handle_handle ON handle(handle, verified_ms);
CREATE INDEX handle_next ON handle(next_ms);
CREATE TABLE likeness (
  likeness TEXT NOT NULL,              -- a shown name with all that looks alike made one
  account INTEGER NOT NULL,
  record INTEGER NOT NULL,             -- the profile
  PRIMARY KEY (likeness, account, record)
) WITHOUT ROWID;
CREATE INDEX likeness_record ON likeness(record);
CREATE TABLE invited (
  account BLOB PRIMARY KEY,
  code TEXT NOT NULL,                  -- the invite it came by
  at_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX invited_code ON invited(code, at_ms);
ALTER TABLE invite ADD COLUMN revoked_ms INTEGER;
CREATE INDEX invite_made ON invite(made_ms);
CREATE TABLE tally (what INTEGER PRIMARY KEY, count INTEGER NOT NULL);
CREATE TABLE tallied (record INTEGER PRIMARY KEY, what INTEGER NOT NULL);
"""

# The newest word of an account about a target is one seek away: who says thousands of things
# about one target makes nobody compare each with each.
_NEWEST = """
DROP INDEX pointer_from;
CREATE INDEX pointer_from ON pointer(account, kind, target, created_ms, state);
"""

# What rules add to a record that is shown.
_MARKS = """
ALTER TABLE decision ADD COLUMN labels TEXT NOT NULL DEFAULT '';  -- words with spaces between
ALTER TABLE decision ADD COLUMN drop_media INTEGER NOT NULL DEFAULT 0;
"""

# Bytes count too: of the largest texts a day's headers were 400 MB.
_BUDGETS = """
ALTER TABLE budget ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
"""

# Less to write for each record. The first bytes of an id find it (see `rows.id_is`); one account's
# records in the order of their arrival are rarely asked for, and found by its chains.
# And stores of programs that did not note up to which number the digest had looked at records: it
# may have looked at all that were ever told of, also at those whose numbers will be given again.
_LEAN = """
DROP INDEX record_account;
DROP INDEX record_id;
CREATE INDEX record_id ON record(substr(id, 1, 8));
INSERT INTO position (consumer, n)
  SELECT 'digest.records', (SELECT coalesce(max(record), 0) FROM journal)
  FROM position WHERE consumer = 'digest' AND n > 0
  ON CONFLICT DO NOTHING;
DELETE FROM tallied WHERE what = 0;
DELETE FROM tally WHERE what = 0;
INSERT INTO tally (what, count) SELECT 0, count(*) FROM listing WHERE what = 1;
"""

#: Append only: a database remembers how many of these it has run.
MIGRATIONS: tuple[str, ...] = (_TABLES, _DERIVED, _PEOPLE, _NAMES, _NEWEST, _MARKS, _BUDGETS, _LEAN)


def version(db: sqlite3.Connection) -> int:
    """How many migrations this database has run."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def migrate(db: sqlite3.Connection) -> int:
    """Run what is missing, each in its own transaction; returns how many ran.

    Raises `NodeError(internal)` for a database written by a newer program.
    """
    at = version(db)
    if at > len(MIGRATIONS):
        raise NodeError(
            Code.INTERNAL,
            safe=f"this database has schema {at}, this program knows {len(MIGRATIONS)}: "
            "run a newer program, or restore the backup made before the upgrade",
        )
    for number, script in enumerate(MIGRATIONS[at:], start=at + 1):
        db.execute("BEGIN EXCLUSIVE")
        try:
            for statement in _statements(script):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {number}")
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise
    return len(MIGRATIONS) - at


def _statements(script: str) -> list[str]:
    """`executescript` would commit on its own, so the script is cut at complete statements."""
    found: list[str] = []
    pending = ""
    for line in script.splitlines():
        pending += line + "\n"
        if sqlite3.complete_statement(pending):
            found.append(pending)
            pending = ""
    return found
