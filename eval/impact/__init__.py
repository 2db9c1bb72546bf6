"""``greyzone eval impact``: the score against its axioms, against known cases and gradings, and against worlds whose truth is known.

Read in this order: `findings` (what was asked beside what was measured), `invented` (tables and worlds with a known truth), `axioms`,
`robustness`, `coverage` and `speed` (the parts that need no data), `cases` (incidents of the public tables), `face`, `agreement` and
`ensemble` (the parts that do), `command`.
"""
