"""Sentences of a profile one by one: how it builds up, how sure that is, what speaks against it, what is not known."""

from __future__ import annotations

import pytest

from greyzone.campaigns import judgements, sentences
from greyzone.campaigns.evidence import Evidence
from greyzone.doctrine import load_doctrine
from greyzone.records import LINK_TYPES
from greyzone.words import SCALES

DOCTRINE = load_doctrine()
SCORE = {"target_state": "EE", "score_p50": 50.0, "excess": 3.0, "peak": 1.0, "dose": 1.0, "tempo": 2.0, "tempo_p": 0.01}
LINK = {
    "link_id": "lnk-1",
    "p": 0.6,
    "type": "exploits",
    "calibrated": False,
    "placebo_precision": None,
    "rivals": [],
    "type_probabilities": [],
}


def evidence(**more):
    return Evidence(
        **{"incidents": (), "narratives": (), "links": (), "groups": (), "scores": (), "documents": frozenset(), "doctrine": DOCTRINE}
        | more
    )


@pytest.mark.parametrize(
    ("changes", "parts", "told"),
    [
        # 3 of 4 are the excess; the campaign has 2 of 4.
        (
            {},
            2.0,
            [
                "taken alone would give less than half of it",
                "about half of it is carried",
                "above the mean of its year, more than chance timing gives",
            ],
        ),
        ({"excess": 1.0, "peak": 1.0}, 0.5, ["taken alone would give about half of it", "less than half of it is carried", "above"]),
        ({"excess": 0.0, "peak": 1.0}, 0.0, ["taken alone would give most of it", "less than half of it is carried", "above"]),
        ({"excess": 0.0, "peak": 0.0}, 0.0, ["less than half of it is carried", "above"]),
        (
            {"tempo": 1.0},
            None,
            ["taken alone would give less than half of it", "not above the mean of its year, more than chance timing gives"],
        ),
        (
            {"tempo_p": 0.051},
            None,
            ["taken alone would give less than half of it", "above the mean of its year, no more than chance timing gives"],
        ),
        (
            {"tempo_p": 0.05},
            None,
            ["taken alone would give less than half of it", "above the mean of its year, more than chance timing gives"],
        ),
        ({"tempo": None}, None, ["taken alone would give less than half of it", "its tempo is not told"]),
        ({"peak": None}, 2.0, ["above the mean of its year"]),
        ({"score_p50": None}, 2.0, ["how it builds up is not told"]),
    ],
)
def test_how_it_builds_up(changes, parts, told):
    known = {} if parts is None else {"EE": parts}
    sentence = judgements._build_up(evidence(parts=known), SCORE | changes)
    clauses = sentence.split("; ")
    assert len(clauses) == len(told)
    assert all(part in clause for part, clause in zip(told, clauses, strict=True)), sentence


@pytest.mark.parametrize(("share", "word"), [(0.551, "most"), (0.55, "about half"), (0.45, "about half"), (0.449, "less than half")])
def test_words_of_shares(share, word):
    assert judgements._part(share) == word


@pytest.mark.parametrize(
    ("precision", "told"),
    [
        (0.99, "less than half as many narratives have"),
        (0.51, "less than half as many narratives have"),
        (0.5, "half as many narratives or more may have"),
        (0.0, "half as many narratives or more may have"),
    ],
)
def test_placebo_precision_is_told_as_a_test_of_timing_and_never_as_a_likelihood(precision, told):
    incidents = [{"incident_id": "inc-1", "name": "Outage", "reports": ["rep-1"]}]
    narratives = [{"narrative_id": "nar-1", "label": "a story", "exemplars": []}]
    link = LINK | {"incident_id": "inc-1", "narrative_id": "nar-1", "evidence": [], "p_lo": None, "p_hi": None}
    link |= {"placebo_precision": precision}
    shown = sentences.alternatives(evidence(incidents=incidents, narratives=narratives, links=[link]))
    [text] = [item["text"] for item in shown if "moved in time" in item["text"]]
    assert text == (
        f"With incidents moved in time, {told} a link at least as likely as that of “Outage” and “a story”; this tests the timing alone, "
        "weakly where such links are few, and is no probability that the link is true."
    )
    assert not any(word in text for scale in SCALES.values() for _, word in scale.bands if word != "likely")
    unknown = sentences.alternatives(evidence(incidents=incidents, narratives=narratives, links=[link | {"placebo_precision": None}]))
    assert not any("moved in time" in item["text"] for item in unknown)


def test_how_sure_it_is():
    links = [
        LINK | {"calibrated": True, "placebo_precision": 0.5},
        LINK | {"link_id": "lnk-2", "placebo_precision": 0.51},
        LINK | {"link_id": "lnk-3"},
    ]
    incidents = [{"sources": ["one", "two"]}, {"sources": ["one", "one"]}, {"sources": None}]
    said = {"lnk-1": [{"decision": "no"}, {"decision": "yes"}], "lnk-2": [{"decision": "unsure"}]}
    assert judgements._confidence(evidence(links=links, incidents=incidents, said=said), "low") == (
        "Confidence in this profile is low: 1 of 3 links calibrated, 1 of 3 incidents told by two sources or more, 1 of 3 links "
        "confirmed by a person; for 1 of 2 links incidents moved in time give at most half as many pairs that strong."
    )
    assert judgements._confidence(evidence(links=[LINK], incidents=incidents[:1]), "low") == (
        "Confidence in this profile is low: 0 of 1 link calibrated, 1 of 1 incident told by two sources or more."
    )


def test_what_speaks_against_it():
    reports = [0.45 if name == "reports" else 0.55 / (len(LINK_TYPES) - 1) for name in LINK_TYPES]
    links = [
        LINK | {"rivals": [{"p": 0.6}], "type": "co-occurs"},
        LINK | {"rivals": [{"p": 0.59}, {"p": None}], "type_probabilities": reports},
    ]
    groups = [{"explanations": [{"name": "one feed", "fits": True}, {"name": "press echo", "fits": False}]}, {"explanations": None}]
    assert judgements._against(evidence(links=links, groups=groups, bridges=[LINK, LINK])) == (
        "Against it speaks that an explanation without coordination fits its groups (“one feed”); other incidents fit the narratives "
        "at least as well (1 link); ordinary coverage is as good a reading (1 link); nothing but time ties some of it (1 link of mere "
        "co-occurrence); links lead out of it (2 links)."
    )
    assert judgements._against(evidence(links=[LINK])) == "Nothing that was tested speaks against it; what was not tested may."


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "low: its probability is not calibrated on labelled links"),
        ({"calibrated": True, "p_lo": 0.5, "p_hi": 0.75}, "moderate: it is calibrated"),
        ({"calibrated": True, "p_lo": 0.25, "p_hi": 0.75}, "low: it is calibrated but its interval is wide"),
        ({"calibrated": True, "p_lo": None, "p_hi": 0.75}, "low: it is calibrated but its interval is wide"),
    ],
)
def test_confidence_in_a_link(changes, told):
    assert sentences._link_confidence(LINK | changes) == f"Confidence in this link is {told}."


INCIDENT = {"name": "Outage", "onset_precision": "day", "end_lo": "then", "sources": ["one", "two"], "level_mode": 2.0}
UNSET = {"value": "unknown"}
SET = {"value": "“Group 9”"}
NO_GROUP = "No group of accounts was found to share the documents of these narratives beyond chance; that is not evidence of its absence."
NO_LANGUAGE = "The narratives were seen in 0 identified languages (none); others not."


@pytest.mark.parametrize(
    ("changes", "gap"),
    [
        ({}, None),
        ({"onset_precision": "month"}, "The onset of “Outage” is known to the “month” only."),
        ({"onset_precision": None}, "The onset of “Outage” is known to the “unknown” only."),
        ({"end_lo": None}, "No source gives an end of “Outage”; it is taken as over at its onset."),
        ({"sources": ["one", "one"]}, "“Outage” rests on a single source."),
        ({"level_mode": None}, "No source grades the severity of “Outage”."),
    ],
)
def test_gaps_of_an_incident(changes, gap):
    found = sentences.gaps(evidence(incidents=[INCIDENT | changes]), SET)
    assert found == [*([gap] if gap else []), NO_LANGUAGE, NO_GROUP]


def test_gaps_of_links_languages_scores_and_attribution():
    stories = [{"languages": ["et", "und"]}, {"languages": None}]
    scores = [{"target_state": "EE", "status": "not robust"}, {"target_state": "LV", "status": "ok"}]
    found = sentences.gaps(evidence(narratives=stories, links=[LINK, LINK | {"calibrated": True}], groups=[{}], scores=scores), UNSET)
    assert found == [
        "1 of 2 links uncalibrated: no labelled links were at hand.",
        "The narratives were seen in 1 identified language (“et”); others not.",
        "The score of Estonia is marked “not robust”.",
        "Who is behind it is unknown: no person has set an attribution.",
    ]
