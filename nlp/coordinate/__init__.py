"""Accounts that act together more than chance explains, with every ordinary explanation tested beside.

Coordination is a statement about behaviour: it is neither a statement about intent nor about who stands behind an account. Read the
modules in this order: `traces` (what is shared), `pace` (how soon after each other), `bicm`, `communities` and `chance` (what chance would
share), `pairs`, `cores` and `groups` (who shares more), `membership` (how surely an account belongs), `accounts` (how far each is from
chance, in a group or not), `explanations` (what else might account for it), `tracking` (which group is which of the last run, and when it
acts or sleeps), `stage` (all of it). `shares` takes any table of who shared what when; `baselines` holds the rules of the literature, which
`compare_rules` puts beside.
"""

from __future__ import annotations

from greyzone.coordinate.accounts import account_chances
from greyzone.coordinate.carriers import find_carriers
from greyzone.coordinate.explanations import flagged
from greyzone.coordinate.paraphrases import Paraphrases, find_paraphrases
from greyzone.coordinate.shares import Comparison, compare_rules, compare_rules_in_documents, find_groups_in_shares
from greyzone.coordinate.stage import find_groups, groups_in_traces
from greyzone.coordinate.tracking import Kept, Tracks, follow, keep_ids

__all__ = [
    "Comparison",
    "Kept",
    "Paraphrases",
    "Tracks",
    "account_chances",
    "compare_rules",
    "compare_rules_in_documents",
    "find_carriers",
    "find_groups",
    "find_groups_in_shares",
    "find_paraphrases",
    "flagged",
    "follow",
    "groups_in_traces",
    "keep_ids",
]
