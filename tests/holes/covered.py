"""Which test covers which hole that others had.

A hole is named by what happened elsewhere. Tests that were there before are named where they are;
those that were missing stand in this folder. `test_covered` sees that each of them exists.
"""

from __future__ import annotations

BAD = "badinput/test_bad_input.py::test_bad_input"
ASKED = "badinput/test_bad_input.py::test_bad_request"
WIRE = "node/peering/test_wire.py::"
CONDUCT = "node/peering/test_misconduct.py::"

#: hole: the tests, as `path::name` below tests/, with the case in brackets where there are many.
COVERED: dict[str, tuple[str, ...]] = {
    "self-declared ids (CVE-2024-23832: an object's own `id` was believed)": (
        f"{BAD}[a genesis under another name]",
        "client/test_client.py::test_a_node_that_answers_with_another_record_is_not_believed",
    ),
    "key ownership (CVE-2026-96625, CVE-2025-54888: a key said itself whose it was)": (
        f"{BAD}[another account's key]",
        f"{BAD}[a proof of something else]",
        "protocol/test_identity.py::test_every_listed_key_proves_that_it_agrees",
        "node/api/test_sessions.py::test_another_accounts_key_and_a_forged_signature",
    ),
    "pre-claimed ids (GHSA-4qhx-hhwf-8685: a forged copy kept the genuine one out)": (
        "holes/test_same_name.py::test_a_forged_copy_keeps_no_genuine_record_out",
        f"{BAD}[another payload under a known header]",
    ),
    "body swap (CVE-2023-49079: the signature left the body out)": (
        f"{BAD}[another payload]",
        f"{BAD}[the signature of another header]",
        "node/api/test_sessions.py::test_a_statement_for_somebody_else_is_refused",
    ),
    "incomplete patch (CVE-2024-52591, CVE-2025-25306: the same hole by another field)": (
        f"{BAD}[a repost of somebody blocked]",
        f"{BAD}[a quote that lies about whom]",
        "protocol/test_bad_input_vectors.py::test_both_decoders_agree_with_the_table",
    ),
    "a signature that survives re-spelling (CVE-2022-24307, CVE-2026-46349)": (
        "protocol/test_codec.py::test_any_bytes_are_refused_or_are_the_one_spelling",
        "protocol/test_record.py::test_a_changed_byte_never_passes_as_another_record",
    ),
    "a signature of another type or domain (CVE-2018-16515: the wrong party's signature)": (
        f"{BAD}[signed as a session]",
        f"{BAD}[signed as a device]",
        "protocol/test_record.py::test_contexts_are_those_of_the_table",
        "protocol/test_introduction.py::test_a_proof_is_good_for_one_side_of_one_link",
    ),
    "rules that differ between programs (CVE-2022-31152, CVE-2025-49090)": (
        "protocol/test_vectors.py::test_second_decoder_agrees_on_bodies",
        "protocol/test_status.py::test_the_naive_twin_agrees",
        "node/ingest/test_gate_twin.py::test_anything_at_all_is_judged_as_by_the_slow_judge",
    ),
    "rejected stays rejected (CVE-2022-39374: accepted when asked again)": (
        "holes/test_same_name.py::test_what_was_refused_is_refused_by_every_way_and_after_a_restart",
    ),
    "numbers out of range (CVE-2025-30355: one event broke federation)": (
        f"{BAD}[2^53]",
        f"{BAD}[a negative number]",
        f"{ASKED}[a ping of 2^60]",
    ),
    "not a number (CVE-2020-26890: NaN was replicated)": (
        f"{BAD}[not a number]",
        f"{BAD}[created at infinity]",
        f"{ASKED}[not a number in JSON]",
        f"{ASKED}[a frame with infinity]",
    ),
    "pagination ended by hidden items (CVE-2026-45076)": (
        "node/api/test_walk.py::test_a_page_full_of_hidden_posts_does_not_end_the_walk",
        "client/test_lies.py::test_a_post_of_nobody_hides_no_other",
    ),
    "walks over graphs without end (CVE-2024-31208)": (
        "protocol/test_status.py::test_a_chain_of_thousands_is_walked_without_recursion",
        "node/review/test_views.py::test_a_log_longer_than_a_budget_takes_one_commit",
        "client/test_lies.py::test_a_walk_over_headers_ends",
    ),
    "one poison item that stops a queue (CVE-2024-52815, CVE-2025-61672)": (
        "node/timeline/test_digest.py::test_what_crashes_a_chapter_costs_one_record",
        "node/timeline/test_digest.py::test_a_statement_that_always_fails_costs_one_record_too",
        "node/timeline/test_digest.py::test_a_sweep_that_crashes_stops_nothing_else",
        "node/ingest/test_crash.py::test_a_crash_over_one_item_costs_that_item_alone",
        "holes/test_queues.py::test_a_commit_that_cannot_be_told_stops_no_other",
    ),
    "a post that takes its readers down (CVE-2026-23962)": (
        "node/api/test_pages.py::test_a_long_post_is_cut_in_a_list_and_whole_on_its_own_page",
        "node/policy/test_links.py::test_a_text_of_addresses_is_bounded",
    ),
    "words without a bound (CVE-2026-23963)": (
        f"{BAD}[a name above its bound]",
        f"{BAD}[a handle above its bound]",
        f"{ASKED}[a search that is too long]",
    ),
    "files by strangers' names (CVE-2021-41281, CVE-2023-36460)": (
        f"{BAD}[a file named by a path]",
        f"{ASKED}[a coded path upwards]",
        "holes/test_same_name.py::test_no_file_has_a_name_of_a_strangers",
    ),
    "script in what people write (CVE-2023-36459)": (
        "node/api/test_pages.py::test_whatever_is_put_in_stays_text",
        f"{BAD}[a link to a script]",
        "node/api/test_guard.py::test_headers_that_browsers_need",
    ),
    "slow bodies (CVE-2023-36461: each byte began the time anew)": (
        "holes/test_cost.py::test_a_body_a_byte_at_a_time_has_one_deadline_in_all",
        "node/api/test_bad_input.py::test_a_body_that_never_ends_is_cut",
        "node/api/test_guard.py::test_no_client_takes_all_places_by_sending_slowly",
    ),
    "endless or huge answers of peers (CVE-2023-36461)": (
        f"{WIRE}test_an_endless_answer_is_not_read",
        f"{CONDUCT}test_who_never_answers_loses_the_link_and_others_go_on",
        "node/peering/test_lookup.py::test_a_site_that_nobody_serves_does_not_take_long",
        f"{ASKED}[a frame of 200,000 bytes]",
    ),
    "requests into the own network (CVE-2026-22245, PYSEC-2021-25: transitional IPv6)": (
        f"{WIRE}test_no_address_inside_is_dialled",
        f"{WIRE}test_what_is_no_address_of_a_node_is_refused",
        "node/peering/test_lookup.py::test_only_public_domains_are_asked",
    ),
    "names that lead inwards later (DNS rebinding)": (
        f"{WIRE}test_a_name_that_leads_inside_is_not_dialled",
        "holes/test_reaching_out.py::test_what_was_resolved_is_what_is_called",
    ),
    "asking before judging (CVE-2026-77632: a key was fetched for a forged request)": (
        "holes/test_reaching_out.py::test_taking_in_reaches_for_nothing",
    ),
    "redirects (CVE-2026-34148, CVE-2025-23221)": (f"{WIRE}test_no_redirect_is_followed",),
    "decompression (CVE-2025-69223: a bomb of gzip)": (
        "node/api/test_bad_input.py::test_an_encoded_body_is_refused_unread",
        f"{ASKED}[a squeezed message]",
        "holes/test_reaching_out.py::test_no_link_is_squeezed",
    ),
    "deep nesting": (
        f"{BAD}[a body 16,000 deep]",
        f"{ASKED}[a JSON 20,000 deep]",
        f"{ASKED}[a frame 10,000 deep]",
    ),
    "quadratic parsing (CVE-2025-68475: 170 bytes took 14 seconds)": (
        "holes/test_cost.py::test_four_times_the_input_is_no_sixteen_times_the_work",
        "node/policy/test_rules.py::test_a_slow_pattern_is_no_danger_and_too_large_ones_are_refused",
    ),
    "wildcard hosts and floods of new names (CVE-2022-46405)": (
        "node/ingest/test_bounds.py::test_an_unknown_node_brings_so_many_headers_a_day_and_junk_costs_it_nothing",
        "node/policy/test_admission.py::test_a_voucher_names_so_many_and_no_more",
        "node/peering/test_names.py::test_who_lists_many_handles_of_one_domain_keeps_nobody_else_waiting",
    ),
    "tables without a bound (CVE-2026-69132: state of peers that never goes)": (
        "holes/test_tables.py::test_what_is_remembered_of_peers_and_people_is_bounded",
        "holes/test_tables.py::test_what_a_link_remembers_is_bounded",
        "node/api/test_guard.py::test_the_table_of_addresses_is_bounded",
        "node/api/test_sessions.py::test_what_was_spent_is_bounded_and_never_forgotten_too_early",
        "node/api/test_pages_kept.py::test_the_shelf_has_a_bound",
    ),
    "domains that normalise to another's (CVE-2023-42451)": (
        "node/policy/test_domain.py::test_every_way_to_write_a_host_gives_the_host",
        "node/policy/test_naming.py::test_how_handles_are_spelt",
        f"{BAD}[a handle with a capital]",
    ),
    "deletes and updates across accounts (CVE-2026-73090)": (
        "protocol/test_status.py::test_a_delete_of_another_account_takes_nothing",
        "node/review/test_readers.py::test_an_edit_of_somebody_elses_post_is_not_told_to_their_readers",
    ),
    "resurrected deletes": (
        f"{BAD}[a deleted post once more]",
        f"{BAD}[a post that was deleted before]",
        f"{BAD}[a post after a vanish]",
        "protocol/test_status.py::test_an_older_value_never_comes_back_after_a_newer_one_was_deleted",
    ),
    "blocked content by repost or quote (CVE-2026-23961)": (
        f"{BAD}[a quote of somebody blocked]",
        f"{BAD}[a repost of what is not here by somebody blocked]",
        "node/api/test_operator.py::test_a_block_hides_what_was_stored_and_who_shows_it",
    ),
    "private posts that leak (CVE-2025-30741)": (
        "node/peering/test_homes.py::test_private_records_go_between_present_homes_only",
        f"{BAD}[a sealed post in clear words]",
    ),
    "default keys (CVE-2026-24044: one signing key in every installation)": (
        "holes/test_same_name.py::test_every_folder_draws_keys_of_its_own",
    ),
}
