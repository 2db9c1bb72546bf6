"""What invented accounts write: remarks, greetings that many write alike, and claims that can be put in many words.

A claim is who did what, where, and what came of it. Each of these has several wordings, one of them the usual one of the claim, and a text
takes one of several orders. Two texts of one claim share as many words as the pairs that people called paraphrases in the Microsoft
corpus do (Dolan and Brockett 2005; there the middle cosine of the default encoder is .85 and the middle overlap of words .55, here
.84 and .48): rewordings of one claim, not other ways to see it. Every town and every name is invented. Remarks are those of
the demo scenario (`greyzone.eval.scenario.templates`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from greyzone.eval.scenario.templates import Draws, Grammar, grammar, invented_word, load

ACTORS = (
    ("the water board", "our water company", "the people who run the waterworks", "the utility behind our taps"),
    ("the hospital trust", "the clinic's managers", "those in charge of the hospital", "the health board"),
    ("the railway", "the train operator", "the company that runs the trains", "the rail firm"),
    ("the harbour office", "the port authority", "whoever runs the docks", "the harbour master's people"),
    ("the school ministry", "the education department", "the officials in charge of schools", "the ministry for teaching"),
    ("the grid operator", "the power company", "the firm that owns the power lines", "our electricity supplier"),
    ("the savings bank", "the local lender", "the bank on the corner", "the people who hold our deposits"),
    ("the broadcaster", "the television station", "the evening news channel", "the people behind the news programme"),
    ("the farm agency", "the agriculture office", "the bureau for farming", "the officials who pay the farmers"),
    ("the city council", "town hall", "the mayor and his councillors", "the local government"),
)
"""Who: each with its wordings."""

ACTS = (
    ("hid the inspection reports", "kept the test results secret", "buried what the inspectors found", "locked the findings away"),
    (
        "sold the land to foreign buyers",
        "let outsiders buy the plots",
        "handed our ground to investors abroad",
        "gave the acres to overseas money",
    ),
    ("dismissed the engineers", "fired the technical staff", "sent the experts home", "got rid of those who knew the machines"),
    ("doubled the fees", "made it twice as dear", "raised prices by a hundred per cent", "now charges two times as much"),
    ("lost the personal files", "leaked private records", "let strangers read our data", "could not keep our papers safe"),
    (
        "paid bonuses to the managers",
        "rewarded the bosses with extra money",
        "gave the directors a fat cheque",
        "filled the pockets at the top",
    ),
    ("closed the night service", "stopped working after dark", "no longer opens in the evening", "ended the late shift"),
    (
        "ignored the storm warning",
        "did nothing when the gale was forecast",
        "slept through the weather alert",
        "paid no heed to the coming storm",
    ),
)
"""What they did."""

OUTCOMES = (
    ("families will pay for it", "every household gets the bill", "parents have to find the money", "it is homes that carry the cost"),
    (
        "patients wait for months",
        "sick people stand in a queue till summer",
        "the ill are told to be patient",
        "nobody is treated before next season",
    ),
    ("cellars are under water", "basements have flooded", "the lower floors are swimming", "people pump out their houses"),
    ("children stay at home", "pupils have no lessons", "the young ones sit in the kitchen", "classrooms are empty"),
    ("shops lose their customers", "trade is dying in the centre", "merchants see nobody all day", "the high street stands deserted"),
    ("the elderly sit in the cold", "pensioners are freezing", "old people wear coats indoors", "our grandparents have no heat"),
)
"""What came of it."""

ORDERS = (
    "In {town} {actor} {act}, and {outcome}.",
    "{Outcome} because {actor} in {town} {act}.",
    "Have you heard? {Actor} of {town} {act} while {outcome}.",
    "It turns out that {actor} {act}. {Outcome}, says all of {town}.",
    "{town}: {outcome}. Why? {Actor} {act}.",
    "They will not tell you that {actor} {act} in {town} and that {outcome}.",
)
"""Orders that a text of a claim takes."""

REACTIONS = (
    "",
    "",
    "",
    "Shame on them.",
    "Unbelievable.",
    "Pass it on.",
    "Who is surprised?",
    "We deserve better.",
    "Not a word in the papers.",
)
"""What may follow."""

USUAL = 0.85
"""How often a part of a claim is put in its usual words."""

GREETINGS = (
    "good morning to everybody out there",
    "happy birthday to my favourite sister",
    "can not wait for the weekend",
    "thank you all for the follow",
    "have a lovely day my friends",
    "is it friday yet or what",
    "good night and sweet dreams everyone",
    "coffee first and then the world",
    "so proud of my little brother",
    "who else is awake right now",
    "this made my day thank you",
    "i really need a holiday now",
)
"""What many write alike, to a word, on many days."""

ENDINGS = ("", "", "", "!", " :)", " x")


@dataclass(frozen=True, slots=True)
class Claim:
    """Numbers into `ACTORS`, `ACTS` and `OUTCOMES`, an invented town, and which wording of each part is the usual one."""

    actor: int
    act: int
    outcome: int
    town: str
    usual: tuple[int, int, int]

    @property
    def headline(self) -> str:
        """The claim as a page has it: in its usual words."""
        actor, act, outcome = (options[number] for options, number in zip(self.parts(), self.usual, strict=True))
        return f"{self.town}: {actor} {act}, {outcome}"

    def parts(self) -> tuple[tuple[str, ...], ...]:
        """Return the wordings of who, what, and what came of it."""
        return ACTORS[self.actor], ACTS[self.act], OUTCOMES[self.outcome]


class Wording:
    """Writes texts.

    Parameters
    ----------
    draws
        Every choice of words comes from here, in order.
    """

    def __init__(self, draws: Draws) -> None:
        self._draws = draws
        self._remarks = _remarks()

    def claim(self) -> Claim:
        """Return a new claim about a new town."""
        below = self._draws.below
        usual = (below(4), below(4), below(4))
        return Claim(below(len(ACTORS)), below(len(ACTS)), below(len(OUTCOMES)), invented_word(self._draws), usual)

    def told(self, claim: Claim) -> str:
        """Put the claim in words."""
        draws = self._draws
        words = [
            options[usual] if draws.unit() < USUAL else draws.pick(options)
            for options, usual in zip(claim.parts(), claim.usual, strict=True)
        ]
        parts = dict(zip(("actor", "act", "outcome"), words, strict=True))
        parts |= {name.capitalize(): text[0].upper() + text[1:] for name, text in parts.items()}
        return f"{draws.pick(ORDERS).format(town=claim.town, **parts)} {draws.pick(REACTIONS)}".rstrip()

    def remark(self) -> str:
        """Return an everyday remark of one or two sentences."""
        return self._remarks.text(self._draws, 1 + self._draws.below(2))

    def greeting(self) -> str:
        """Return what many write alike."""
        return self._draws.pick(GREETINGS) + self._draws.pick(ENDINGS)

    def tag(self) -> str:
        """Return a hashtag that nobody has used."""
        return invented_word(self._draws) + invented_word(self._draws)

    def edited(self, text: str) -> str:
        """Return the text with a word before or after it, or as it is: what people do to what they copy."""
        return self._draws.pick(("{}", "{}", "{}", "Read: {}", "{} !!", "{} Share this.")).format(text)


def _remarks() -> Grammar:
    chatter: Any = load("chatter")
    return grammar(chatter["frames"]["en"], chatter["slots"]["en"], "en")
