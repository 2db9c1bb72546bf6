"""Parts `null` and `planted`: invented corpora in which nobody coordinates, and the same with accounts that do.

Asked: on the null at most .5 % of the accounts flagged and a realised false discovery rate of at most 1.2 times the nominal one; with 5 %
planted, a precision of .95 and a recall of .90. A corpus goes the whole way of a case: copies are found, texts are embedded by the
default encoder for the paraphrase trace, groups are found by the default doctrine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from greyzone import records
from greyzone.collapse import collapse
from greyzone.coordinate import account_chances
from greyzone.doctrine import Doctrine, load_doctrine
from greyzone.eval.commands import aligned
from greyzone.eval.coordination.corpora import MAKES, Corpus, Setting, draw_setting, make_corpus
from greyzone.eval.coordination.journey import groups_of
from greyzone.eval.coordination.judging import NOMINAL_SLACK, Judged, Summary, Verdict, auc, commonest, judge, summarise
from greyzone.eval.coordination.plants import KINDS, planter
from greyzone.eval.coordination.rules import judge_rules

SHARES = (0.01, 0.05, 0.2)
"""Planted accounts of all accounts."""

ACCOUNTS = (400, 700)
"""Fewest and most accounts of a corpus."""

SMALL = 0.05
"""p of an account that one in twenty has at the most where nobody coordinates."""

ASKED_ACCOUNTS = 0.005
ASKED_PRECISION, ASKED_RECALL, ASKED_SHARE = 0.95, 0.90, 0.05


@dataclass(frozen=True, slots=True)
class Run:
    """One corpus: what it is like, what was planted ("" for nothing), the verdicts on groups and on the rules of the literature.

    `auc` is that of the accounts' own p (`greyzone.coordinate.account_chances`), planted against others, None where nothing is planted;
    `small` the share of the others whose p is at most `SMALL`. `seconds` is the time that finding groups took.
    """

    setting: Setting
    kind: str
    share: float
    seed: int
    judged: Judged
    rules: dict[str, Verdict]
    auc: float | None
    small: float
    seconds: float


def measure_null(runs: int, seed: int, say: Callable[[str], None]) -> Iterator[Run]:
    """Yield `runs` corpora in which nobody coordinates."""
    doctrine = load_doctrine()
    for number in range(runs):
        yield _run(make_corpus(draw_setting(seed + number, accounts=ACCOUNTS), seed + number), "", 0.0, seed + number, doctrine)
        _tell(say, "null", number, runs)


def measure_planted(
    runs: int, seed: int, say: Callable[[str], None], *, shares: Sequence[float] = SHARES, kinds: Sequence[str] = tuple(KINDS)
) -> Iterator[Run]:
    """Yield `runs` corpora for each share; kinds take turns, and each kind meets every make of taste."""
    doctrine = load_doctrine()
    for share in shares:
        for number in range(runs):
            kind = kinds[number % len(kinds)]
            make = MAKES[number // len(kinds) % len(MAKES)]
            setting = draw_setting(seed + number, make, accounts=ACCOUNTS)
            yield _run(make_corpus(setting, seed + number, planter(share, kind)), kind, share, seed + number, doctrine)
            _tell(say, f"planted {share:.0%}", number, runs)


def format_null(runs: Sequence[Run]) -> str:
    """Return the tables of the null: all corpora, by make, and what false groups rest on."""
    fdr = load_doctrine()["coordination.fdr"]
    head = ["corpora", "groups", "accounts, mean", "accounts, max", "corpora with any group", "asked"]
    lines = [head]
    for name, chosen in [("all", runs), *((make, [run for run in runs if run.setting.make == make]) for make in MAKES)]:
        if not chosen:
            continue
        listed, kept = summarise([run.judged.listed for run in chosen]), summarise([run.judged.flagged for run in chosen])
        limit = f"<= {NOMINAL_SLACK * fdr:.3f} with any (FDR)"
        lines.append([f"{name} ({len(chosen)})", "listed", *_null_cells(listed), limit])
        lines.append([f"{name} ({len(chosen)})", "flagged", *_null_cells(kept), f"<= {ASKED_ACCOUNTS:.1%} of accounts, mean"])
    for rule in runs[0].rules:
        share, most, _ = _null_cells(summarise([run.rules[rule] for run in runs]))
        lines.append([f"all ({len(runs)})", rule, share, most, "", f"<= {ASKED_ACCOUNTS:.1%} of accounts, mean"])
    blamed = commonest((trace for run in runs for trace in run.judged.blamed), 12)
    small = f"accounts whose own p is at most {SMALL}: {np.mean([run.small for run in runs]):.2%}, asked at most {SMALL:.0%}"
    return "\n".join([*aligned(lines), "", f"traces of the groups listed: {blamed}", small])


def format_planted(runs: Sequence[Run]) -> str:
    """Return the table of the planted corpora by share and kind."""
    fdr = load_doctrine()["coordination.fdr"]
    head = ["planted", "kind", "corpora"]
    head += [f"{what}, {which}" for which in ("listed", "flagged") for what in ("precision", "recall", "FDR")]
    lines = [[*head, f"others with own p <= {SMALL}", "AUC of own p", "asked"]]
    for share in sorted({run.share for run in runs}):
        of_share = [run for run in runs if run.share == share]
        for name, chosen in [("all", of_share), *((kind, [run for run in of_share if run.kind == kind]) for kind in KINDS)]:
            if not chosen:
                continue
            cells = [_planted_cells(summarise([getattr(run.judged, which) for run in chosen])) for which in ("listed", "flagged")]
            asked = f"P {ASKED_PRECISION}, R {ASKED_RECALL}, " if share == ASKED_SHARE else ""
            own = [f"{np.mean([run.small for run in chosen]):.2%}", f"{np.mean([run.auc or 0.0 for run in chosen]):.3f}"]
            lines.append([f"{share:.0%}", name, str(len(chosen)), *cells[0], *cells[1], *own, f"{asked}FDR {NOMINAL_SLACK * fdr:.3f}"])
        for rule in of_share[0].rules:
            precision, recall, _ = _planted_cells(summarise([run.rules[rule] for run in of_share]))
            lines.append([f"{share:.0%}", rule, str(len(of_share)), "", "", "", precision, recall, "", "", "", ""])
    blamed = commonest((trace for run in runs for trace in run.judged.blamed), 12)
    return "\n".join([*aligned(lines), "", f"traces of false groups: {blamed}"])


def _run(corpus: Corpus, kind: str, share: float, seed: int, doctrine: Doctrine) -> Run:
    copies = collapse(corpus.documents, workers=1)
    begun = time.perf_counter()
    found = groups_of(corpus.documents, copies, doctrine=doctrine, seed=seed)
    seconds = time.perf_counter() - begun
    rules = judge_rules(corpus.documents, copies, corpus.planted, corpus.accounts, doctrine)
    area, small = _accounts(found, corpus)
    return Run(corpus.setting, kind, share, seed, judge(found, corpus.planted, corpus.accounts), rules, area, small, seconds)


def _accounts(found: records.Coordination, corpus: Corpus) -> tuple[float | None, float]:
    """Return the AUC of the accounts' own p, and how many of the accounts that are not planted have a small one."""
    chances = account_chances(found.edges, found.traces)
    p = dict(zip(chances["account"].to_pylist(), chances["p"].to_pylist(), strict=True))
    names = sorted(set(corpus.documents["account"].to_pylist()))
    planted, others = ([p.get(name, 0.5) for name in names if (name in corpus.planted) == which] for which in (True, False))
    return auc([-one for one in planted], [-one for one in others]) if planted else None, float(np.mean(np.array(others) <= SMALL))


def _tell(say: Callable[[str], None], what: str, number: int, runs: int) -> None:
    if (number + 1) % 20 == 0 or number + 1 == runs:
        say(f"{what}: {number + 1} of {runs} corpora")


def _null_cells(found: Summary) -> list[str]:
    return [f"{found.accounts_mean:.2%}", f"{found.accounts_max:.1%}", f"{found.with_groups:.3f} ± {found.fdr_error:.3f}"]


def _planted_cells(found: Summary) -> list[str]:
    rates = ["-" if rate is None else f"{rate:.3f}" for rate in (found.precision, found.recall)]
    return [*rates, f"{found.fdr:.3f} ± {found.fdr_error:.3f}"]
