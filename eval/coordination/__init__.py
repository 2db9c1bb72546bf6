"""``greyzone eval coordination``: groups of accounts on invented corpora with a known truth, on real, on large and on odd input.

Read in this order: `wording` (what invented accounts write), `corpora` (a corpus in which nobody coordinates), `plants` (accounts that do),
`journey` (from documents to groups), `judging` and `rules` (what was found against the truth), `planted`, `sources`, `real`, `scale` and
`odd` (the parts of the command), `command`.
"""
