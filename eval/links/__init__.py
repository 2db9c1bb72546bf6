"""``greyzone eval links``: links between narratives and incidents on invented scenarios with a known truth, and on real ones.

Read in this order: `chance` (bursty series that nothing links), `wording` and `worlds` (invented scenarios), `synthetic` (what the stage
makes of them), `corpora` (real documents and incidents as case folders), `real` and `cases` (known operations, hoaxes, and all cases of the
list), `scale`, `command`.
"""
