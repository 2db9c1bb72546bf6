"""Entities: what counts as a name, how artefacts are spelt, and one-pass matching against a naive scan."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greyzone.entities import Entity, Gazetteer, build_gazetteer, find_artefacts, find_entities, refang
from greyzone.records import INCIDENTS, table
from greyzone.text import fold, words


def incidents(*rows: dict[str, object]) -> pa.Table:
    return table([{"incident_id": f"inc-{at}", "name": "", "description": "", **row} for at, row in enumerate(rows)], INCIDENTS)


def names(gazetteer: Gazetteer) -> set[str]:
    return {f"{entity.kind}:{entity.value}" for entity in gazetteer.entities}


def found(texts: list[str], gazetteer: Gazetteer) -> list[tuple[int, str]]:
    mentions = find_entities(texts, gazetteer)
    return [(int(row), gazetteer.entities[entity].value) for row, entity in zip(mentions.rows, mentions.entities, strict=True)]


def test_names_of_incidents_give_their_distinctive_words_only():
    rows = incidents(
        {"name": "Attack on the Ministry of Ukraine by Kestrel", "description": "The Kestrel worm hit a ministry"},
        {"name": "Bundestag-Hack (2015)", "description": "The Bundestag was met with an intrusion"},
    )
    assert names(build_gazetteer(rows)) == {"name:Kestrel", "name:Bundestag"}


def test_states_and_generic_words_are_no_entities():
    entities = [
        {"kind": "place", "value": "Ukraine"},
        {"kind": "organisation", "value": "Ministry"},
        {"kind": "organisation", "value": "Tarnwell"},
    ]
    assert names(build_gazetteer(incidents({"entities": entities}))) == {"organisation:Tarnwell"}


def test_a_word_in_many_names_is_a_word_of_the_field():
    rows = [{"name": f"Wobble number {at}"} for at in range(300)]
    assert names(build_gazetteer(incidents(*rows))) == set()


def test_aliases_of_an_actor_are_one_incidents_entities():
    rows = incidents({"actors": [{"name": "Brisk Otter/TA999 (Unit 12345)", "state": None, "probability": 0.4, "said_by": "x"}]})
    gazetteer = build_gazetteer(rows)
    assert set(gazetteer.surfaces) == {"brisk otter", "ta999", "unit 12345"}
    assert found(["the brisk  otter again", "an otter"], gazetteer) == [(0, "Brisk Otter/TA999 (Unit 12345)")]


def test_hashtags_scripts_and_diacritics():
    rows = incidents({"entities": [{"kind": "organisation", "value": "Tarnwell"}, {"kind": "organisation", "value": "Kăpkov"}]})
    gazetteer = build_gazetteer(rows)
    texts = ["see #TarnwellLeaks", "#tarnwell", "Капков", "kapkov said", "tarnwells"]
    assert found(texts, gazetteer) == [(0, "Tarnwell"), (1, "Tarnwell"), (2, "Kăpkov"), (3, "Kăpkov")]


@pytest.mark.parametrize(("capitals", "kept"), [(1, 0), (6, 6), (10, 10)])
def test_a_common_word_is_a_name_only_where_it_is_written_as_one(capitals: int, kept: int):
    # Ten texts use the word; the share that capitalises it decides (below .5: none; up to .9: the capitalised ones).
    gazetteer = build_gazetteer(incidents({"entities": [{"kind": "malware", "value": "Shadow"}]}))
    texts = ["The Shadow came"] * capitals + ["in the shadow of it"] * (10 - capitals)
    mentions = find_entities(texts, gazetteer)
    assert len(mentions.rows) == kept
    assert mentions.dropped == (("shadow",) if capitals < 5 else ())


def test_artefacts_are_refanged_and_spelt_once():
    text = "hxxps://Files.Hellmark[.]test/A/b#c, CVE-2031-12345; cve-2031-12345 d41d8cd98f00b204e9800998ecf8427e https://twitter.com/x"
    assert find_artefacts(text) == [
        Entity("cve", "CVE-2031-12345"),
        Entity("domain", "files.hellmark.test"),
        Entity("domain", "hellmark.test"),
        Entity("hash", "d41d8cd98f00b204e9800998ecf8427e"),
        Entity("url", "files.hellmark.test/A/b"),
        Entity("url", "twitter.com/x"),
    ]
    assert refang("a(dot)b and c[.]d") == "a.b and c.d"


def test_artefacts_of_incidents_are_found_in_texts():
    rows = incidents({"entities": [{"kind": "domain", "value": "www.hellmark[.]test"}, {"kind": "cve", "value": "cve-2031-12345"}]})
    gazetteer = build_gazetteer(rows)
    assert found(["go to http://news.hellmark.test/1", "CVE-2031-12345!", "hellmark.test.example"], gazetteer) == [
        (0, "www.hellmark[.]test"),
        (1, "cve-2031-12345"),
    ]


ALPHABET = ["Tarn", "well", "Brisk", "Otter", "moon", "Kest"]


@given(st.lists(st.lists(st.sampled_from(ALPHABET), max_size=8).map(" ".join), max_size=4))
def test_matching_equals_a_naive_scan_for_phrases(texts: list[str]):
    phrases = ["Tarn well Brisk", "Brisk Otter", "well Kest"]
    gazetteer = build_gazetteer(incidents({"entities": [{"kind": "organisation", "value": phrase} for phrase in phrases]}))
    naive = []
    for row, text in enumerate(texts):
        folded = [fold(word) for word in words(text)]
        for phrase in sorted(phrases):
            want = [fold(word) for word in phrase.split()]
            if any(folded[at : at + len(want)] == want for at in range(len(folded))):
                naive.append((row, phrase))
    assert sorted(found(texts, gazetteer)) == sorted(naive)


def test_order_of_incidents_does_not_matter():
    rows = [
        {"name": "Tarnwell", "actors": [{"name": "Brisk Otter"}]},
        {"entities": [{"kind": "malware", "value": "Kestrel"}]},
        {"name": "Kestrel"},
    ]
    first, second = build_gazetteer(incidents(*rows)), build_gazetteer(incidents(*rows[::-1]))
    assert (first.entities, dict(first.surfaces), dict(first.starts)) == (second.entities, dict(second.surfaces), dict(second.starts))
    # A word of a name that is an entity elsewhere is that entity.
    assert "malware:Kestrel" in names(first)
    assert np.array_equal(np.sort(2 - second.incident_rows), first.incident_rows)


def test_nothing_in_nothing_out():
    assert len(find_entities([], build_gazetteer(incidents())).rows) == 0
    assert len(find_entities(["", "text"], build_gazetteer(incidents())).rows) == 0
