"""THE gate: the only way in for a record, and the only writer of the store.

decode → verify → authorise → policy → one commit with its journal lines → answers (invariant 1).
"""
