"""Every limit of the protocol, with its unit last in the name and the reason beside it (R-8).

Both sides of a link must agree on these, so they are part of the version and not settings.
"""

from __future__ import annotations

# Version of the record format: frozen once five nodes had lost a provider and nothing else.
VERSION = 1
# The public network; a private one picks eight other bytes and shares nothing with it.
NETWORK_PUBLIC = b"ratoon\x00\x01"

# --- numbers -----------------------------------------------------------------------------
# The largest integer that JavaScript holds exactly.
INT_MAX = 2**53 - 1
# 2020-01-01T00:00:00Z. Records are not older than the network; Negentropy counts from here.
EPOCH_MS = 1_577_836_800_000
# How far ahead of the receiver's clock a record may be: wrong clocks live, planted futures die.
FUTURE_SKEW_MS_MAX = 10 * 60 * 1000
# A day, the unit of caps and horizons.
DAY_MS = 86_400_000

# --- records -----------------------------------------------------------------------------
# A post's header is about 165 bytes; unknown kinds may not grow far beyond it.
HEADER_BYTES_MAX = 256
# Text, facets and a media manifest fit with room; an attacker's memory does not grow.
PAYLOAD_BYTES_MAX = 16 * 1024
# An envelope is sealed to up to 32 devices and padded to buckets.
ENVELOPE_PAYLOAD_BYTES_MAX = 64 * 1024
# Header, signature, payload and the heads between them.
RECORD_BYTES_MAX = ENVELOPE_PAYLOAD_BYTES_MAX + HEADER_BYTES_MAX + 128
# Payload lengths are multiples of this, so that a remaining length tells little.
PAYLOAD_PAD_BYTES = 64
# The salt that keeps a remaining payload hash from being guessed.
SALT_BYTES = 16
# Half a SHA-256: a slot is compared within one account only.
SLOT_BYTES = 16
# payload array, body map, list, row: nothing in a body needs more.
DEPTH_MAX = 4
# Items of one array or map: above any body here, below what costs time.
ITEMS_MAX = 1024

# --- bodies ------------------------------------------------------------------------------
# About 3,000 characters of any script; longer texts belong to a blog.
TEXT_BYTES_MAX = 8 * 1024
# A display name, a list title, a warning: one line.
LINE_BYTES_MAX = 256
# A profile's own words.
BIO_BYTES_MAX = 2 * 1024
# An address (URL): what browsers and servers accept everywhere.
URL_BYTES_MAX = 2 * 1024
# A tag, without its sign.
TAG_BYTES_MAX = 128
# Combining marks in a row: real scripts need four, "zalgo" needs dozens.
MARKS_MAX = 8
# Links, mentions and tags in one post.
FACETS_MAX = 64
# Pictures of one post.
MEDIA_MAX = 4
# Description of one picture.
ALT_BYTES_MAX = 2 * 1024
# Options of one poll.
POLL_OPTIONS_MAX = 8
# Records one delete may name: fits a payload, keeps a flood of deletes costly.
DELETE_TARGETS_MAX = 128
# Extra links in a profile.
PROFILE_FIELDS_MAX = 8
# Members a list may name.
LIST_MEMBERS_MAX = 256
# Addresses a node may state.
ADDRESSES_MAX = 16
# Nodes that a node may vouch for.
VOUCHED_MAX = 64
# What a slot value is about: an account, an id, a name's hash.
TARGET_BYTES_MAX = 64
# One reaction: the longest family emoji has 35.
EMOJI_BYTES_MAX = 64
# A blurhash of 9 by 9 components.
BLUR_BYTES_MAX = 192
# Width or height of a picture in pixels: above it decoders fail.
MEDIA_SIDE_MAX = 65_535
# Records that an advisory shows as its evidence.
EVIDENCE_MAX = 64
# A contact token: a signature, a key and an expiry.
TOKEN_BYTES_MAX = 256

# --- identity ----------------------------------------------------------------------------
# Ranks 0 to 7: paper, devices, friends; more confuses people.
ACCOUNT_KEYS_MAX = 8
# Phones, computers and apps of one person.
DEVICES_MAX = 32
# Homes at different providers.
HOMES_MAX = 8
# Names at domains.
HANDLES_MAX = 4
# name@domain.
HANDLE_BYTES_MAX = 320
# Revocation entries in one operation.
REVOCATIONS_MAX = 64
# Tips of one key and lane: one a fork that the owner wants to keep.
TIPS_PER_LANE_MAX = 16
# Tip rows in one operation.
TIPS_MAX = 256
# Times one rank may revoke one key further on a path: each is a walk of its own.
REVOCATION_MARKS_MAX = 16
# Longest path from the genesis: one change a day for eleven years.
OPERATION_DEPTH_MAX = 4096
# Children kept of one operation: best first, so that a flood cannot push out the owner's.
OPERATION_CHILDREN_MAX = 8
# Operations kept while their path is missing, an account.
OPERATIONS_PENDING_MAX = 64

# --- rates that are part of validity -----------------------------------------------------
# Records of one account, key, lane and day that count; above it is in no scope.
RECORDS_PER_KEY_LANE_DAY_MAX = 5000
# Deletes of one device key an hour: a thief cannot empty an account in a minute.
DELETES_PER_KEY_HOUR_MAX = 500
# Versions of one edited post that stay for its history.
EDIT_VERSIONS_MAX = 16
# A vanish by a lower key waits this long before bytes and headers go.
VANISH_GRACE_MS = 7 * DAY_MS
# Bytes of revoked records are masked this long before they are dropped.
REVOKED_GRACE_MS = 30 * DAY_MS

# --- reconciliation ----------------------------------------------------------------------
# The smallest frame limit Negentropy V1 allows.
RECONCILE_FRAME_BYTES_MIN = 4096
# One reconciliation message: below it round trips explode, above it a link frame breaks.
RECONCILE_FRAME_BYTES_MAX = 60_000
# Ranges in one message: bounds the work one message can ask for.
RECONCILE_RANGES_MAX = 4096
# A 64-bit number needs ten bytes of seven bits.
VARINT_BYTES_MAX = 10

# --- links -------------------------------------------------------------------------------
# One Noise transport message.
NOISE_MESSAGE_BYTES_MAX = 65_535
# A frame may span this many Noise messages: a full envelope record needs two.
FRAME_NOISE_MESSAGES_MAX = 4
# One frame before encryption.
FRAME_BYTES_MAX = 192 * 1024
# A node's own introduction: identity log and node record.
INTRODUCTION_BYTES_MAX = 64 * 1024
# Ids in one have, get or ack.
FRAME_IDS_MAX = 1024
# Records in one push.
FRAME_RECORDS_MAX = 512
# Wanted records under way from one peer.
WANTED_IN_FLIGHT_MAX = 4096
# A handshake that takes longer is somebody holding a socket.
HANDSHAKE_MS_MAX = 10_000
# Silence after which a link is asked for a sign of life, and after which it is closed.
LINK_IDLE_MS_MAX = 60_000
# Node records in one peers frame.
FRAME_PEERS_MAX = 64
# One of them: with these a frame holds them all, and the usual node record has 600 bytes.
PEER_BYTES_MAX = 2 * 1024
# Frames in one Noise message: honest ones have 32 bytes and more; smaller ones only cost time.
MESSAGE_FRAMES_MAX = 2048
# Node accounts that one side admits: the whole table fits one frame.
ADMITTED_MAX = 4096
# Records pushed and not yet acknowledged: 20,000 records/s at 150 ms round trip.
PUSH_WINDOW_RECORDS_MAX = 4096
# Their headers and payloads: all that one peer can make another hold.
PUSH_WINDOW_BYTES_MAX = 2 * 1024 * 1024
# Requests (get, chain, find) under way from one side of a link.
REQUESTS_IN_FLIGHT_MAX = 64
# Headers of one chain in one answer: the asker goes on from the last.
CHAIN_HEADERS_MAX = 1024
# Reconciliations under way that one side of a link started: more compete for the same link.
RECONCILIATIONS_MAX = 8
# Challenges under way from one side: each costs the other a disk read.
CHALLENGES_IN_FLIGHT_MAX = 64
# The random part of a challenge: no answer can be prepared.
NONCE_BYTES = 16
# Statements in one receipt frame: with all their gaps they fit it.
FRAME_STATEMENTS_MAX = 256
# Gaps that one statement names: with more it says too little.
STATEMENT_HOLES_MAX = 32
# Waiting to be sent; above it the sender must wait, so a slow peer costs no more than this.
OUTBOX_BYTES_MAX = 4 * 1024 * 1024
# Something is owed to this side and nothing owed has come: the peer is stuck or stalls.
ANSWER_MS_MAX = 120_000
# Records in one bundle: above it, make two.
BUNDLE_RECORDS_MAX = 10_000_000
# Who made a bundle and what it says about itself.
BUNDLE_MANIFEST_BYTES_MAX = 4096
# One file of media in a bundle, read at once.
BUNDLE_MEDIA_BYTES_MAX = 16 * 1024 * 1024
# One signed statement: far above the longest.
STATEMENT_BYTES_MAX = 4096
# Records in one publish request.
BATCH_RECORDS_MAX = 10_000
