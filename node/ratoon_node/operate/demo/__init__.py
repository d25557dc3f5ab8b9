"""A small network on this machine: nodes as processes, at providers that can be destroyed.

`posts.jsonl` beside this file holds short public-domain texts, one JSON object a line; `source`
names the work and its year (translations: the translator's). All were published before 1929; most
are centuries old, in the script they were written in, from left to right and from right to left.
"""
