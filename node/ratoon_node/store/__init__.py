"""What a node keeps: records, their status, decisions, peers and the journal of changes.

`db` runs whole functions on a connection, `schema` versions the tables, `write` and `index`
change them inside the gate's transaction, `read` answers everybody else.
"""
