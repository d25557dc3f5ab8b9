"""Policy: what this node lets in and shows, as pure functions over a record and what is known.

`Policy.parse(data)` compiles a `policy.toml`, `Policy.judge(header, body, facts)` answers for one
record, `Admission` says which nodes are let in. Nothing here reads a clock, a file or a database.
"""
