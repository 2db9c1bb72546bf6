"""``greyzone eval incidents``: reports of one event found as one, on a sample judged by hand; scale; bad input.

Read in this order: `tables` (the published tables as reports), `sampling` (how the pairs were drawn, from a blocking wider than the
stage's), `pairs` (precision and recall on them), `scale` (time and memory of many reports), `odd` (bad input), `command`.
"""
