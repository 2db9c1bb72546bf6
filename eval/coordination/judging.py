"""A found coordination against the truth: accounts right and missed, and groups that are false.

A group is false if most of its accounts are not planted. The realised false discovery rate is the mean over corpora of the share of false
groups, 0 where there is no group (Benjamini and Hochberg 1995); where nobody is planted it is the share of corpora with any group.
Precision over several corpora is pooled: of all accounts found, those that were planted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from greyzone import records
from greyzone.coordinate import flagged

NOMINAL_SLACK = 1.2
"""Asked: a realised rate of at most this times the nominal one."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One list of groups against the truth: accounts of the corpus, planted, found, found rightly; groups, false groups."""

    accounts: int
    planted: int
    found: int
    right: int
    groups: int
    false: int

    @property
    def false_share(self) -> float:
        """False groups of all groups; 0 where there is none."""
        return self.false / self.groups if self.groups else 0.0


@dataclass(frozen=True, slots=True)
class Judged:
    """Both lists of one corpus: all groups listed, and those that no alternative explains; `blamed` are the traces of false groups."""

    listed: Verdict
    flagged: Verdict
    blamed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """Verdicts of several corpora; shares are of accounts, None where there is nothing to take a share of."""

    corpora: int
    with_groups: float
    accounts_mean: float
    accounts_max: float
    precision: float | None
    recall: float | None
    fdr: float
    fdr_error: float


def judge(found: records.Coordination, planted: frozenset[str], accounts: int) -> Judged:
    """Compare what was found in a corpus of so many accounts with the accounts that were planted."""
    rows = found.groups.select(["accounts", "traces"]).to_pylist()
    kept = flagged(found.groups).to_pylist()
    members = [frozenset(row["accounts"]) for row in rows]
    false = [row for row, group in zip(rows, members, strict=True) if _is_false(group, planted)]
    blamed = tuple("+".join(row["traces"]) for row in false)
    unexplained = [group for group, keep in zip(members, kept, strict=True) if keep]
    return Judged(verdict(members, planted, accounts), verdict(unexplained, planted, accounts), blamed)


def verdict(groups: Sequence[frozenset[str]], planted: frozenset[str], accounts: int) -> Verdict:
    """Count a list of groups against the truth."""
    found = frozenset[str]().union(*groups)
    false = sum(_is_false(group, planted) for group in groups)
    return Verdict(accounts, len(planted), len(found), len(found & planted), len(groups), false)


def summarise(verdicts: Sequence[Verdict]) -> Summary:
    """Summarise the verdicts of one corpus or more."""
    shares = np.array([one.found / one.accounts for one in verdicts])
    rates = np.array([one.false_share for one in verdicts])
    found, planted, right = (sum(getattr(one, name) for one in verdicts) for name in ("found", "planted", "right"))
    error = float(rates.std(ddof=1) / np.sqrt(len(rates))) if len(rates) > 1 else 0.0
    return Summary(
        corpora=len(verdicts),
        with_groups=float(np.mean([one.groups > 0 for one in verdicts])),
        accounts_mean=float(shares.mean()),
        accounts_max=float(shares.max()),
        precision=right / found if found else None,
        recall=right / planted if planted else None,
        fdr=float(rates.mean()),
        fdr_error=error,
    )


def auc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Return P(a positive scores above a negative), ties half: the area under the ROC curve (Mann and Whitney)."""
    from scipy import stats

    ranks = stats.rankdata(np.concatenate([positive, negative]))
    n, m = len(positive), len(negative)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a proportion (Wilson 1927)."""
    z = 1.959963984540054
    share = hits / trials
    middle = share + z * z / (2 * trials)
    half = z * np.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2))
    scale = 1 + z * z / trials
    return max(float((middle - half) / scale), 0.0), min(float((middle + half) / scale), 1.0)


def at_base_rate(sensitivity: float, false_alarm: float, rate: float) -> float | None:
    """Return the precision where a share `rate` of the accounts is of the sought kind; None if nothing would be found."""
    hits, alarms = sensitivity * rate, false_alarm * (1 - rate)
    return hits / (hits + alarms) if hits + alarms else None


def commonest(labels: Iterable[str], most: int = 4) -> str:
    """Return labels with their counts, the commonest first."""
    return ", ".join(f"{label} {count}" for label, count in Counter(labels).most_common(most)) or "-"


def _is_false(group: frozenset[str], planted: frozenset[str]) -> bool:
    return 2 * len(group & planted) < len(group)
