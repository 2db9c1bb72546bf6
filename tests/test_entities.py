"""Entities: what counts as a name, how artefacts are spelt, what supports an ambiguous name, and one-pass matching against a naive scan."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greyzone.doctrine import load_doctrine
from greyzone.entities import Entity, Gazetteer, Name, build_gazetteer, find_artefacts, find_entities, find_matches, read_names, refang
from greyzone.entities.artefacts import artefacts_of
from greyzone.entities.automaton import build_automaton, outermost
from greyzone.entities.gazetteer import general_words
from greyzone.entities.matching import NameRules, judge_uses
from greyzone.entities.tokens import seen_words, tokens
from greyzone.entities.uses import read_uses
from greyzone.errors import InputError
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


def test_words_of_all_names_of_an_incident_count():
    gazetteer = build_gazetteer(incidents({"name": "Kestrel breach", "names": ["ZQDA-Hack", "Kestrel breach", "Attack on Vostrum"]}))
    assert names(gazetteer) == {"name:Kestrel", "name:Vostrum", "name:ZQDA"}
    assert gazetteer.incident_rows.tolist() == [0, 0, 0]


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


ALPHABET = ["Tarnq", "wexl", "Brisq", "Ottrex", "moonq", "Kestrox"]
"""Invented, since a word of a language would need support."""


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from(ALPHABET), max_size=8).map(" ".join), max_size=4))
def test_matching_equals_a_naive_scan_for_phrases(texts: list[str]):
    phrases = ["Tarnq wexl Brisq", "Brisq Ottrex", "wexl Kestrox"]
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
    assert (first.entities, dict(first.surfaces), first.automaton) == (second.entities, dict(second.surfaces), second.automaton)
    # A word of a name that is an entity elsewhere is that entity.
    assert "malware:Kestrel" in names(first)
    assert np.array_equal(np.sort(2 - second.incident_rows), first.incident_rows)


def test_nothing_in_nothing_out():
    assert len(find_entities([], build_gazetteer(incidents())).rows) == 0
    assert len(find_entities(["", "text"], build_gazetteer(incidents())).rows) == 0


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), max_size=8), st.lists(st.sampled_from("abcd"), max_size=30))
def test_the_automaton_finds_what_a_scan_finds(listed: list[list[str]], text: list[str]):
    naive = {
        (first, first + len(name))
        for name in listed
        for first in range(len(text) - len(name) + 1)
        if text[first : first + len(name)] == name
    }
    assert set(build_automaton(listed).find(text)) == naive
    inside = {a for a in naive for b in naive if a != b and b[0] <= a[0] and a[1] <= b[1]}
    assert outermost(naive) == sorted(naive - inside)


@settings(deadline=None)
@given(st.text(st.sampled_from("aB é ш'9_#@./:今日\u200b\u00ad-"), max_size=40))
def test_words_lie_where_their_spans_say(text: str):
    read = tokens(text)
    seen = seen_words(text)
    # The first look misses no word, or it says that it cannot tell.
    assert seen is None or set(read.folded) <= set(seen)
    for word, start, end in zip(read.folded, read.starts, read.ends, strict=True):
        assert word == fold(text[start:end])
        assert 0 <= start < end <= len(text)


def test_a_match_says_where_what_and_how_sure():
    names = [Name("actor", "Brisk Otter", ("TA 999", "Velvet Quokka")), Name("malware", "Kestroxin")]
    gazetteer = build_gazetteer(incidents({"actors": [{"name": "Velvet Quokka"}]}), names)
    text = "On Monday ta999 used Kestroxin; see hxxps://x"
    assert [(item.start, item.end, item.kind, item.value, item.support) for item in find_matches([text], gazetteer)] == [
        (10, 15, "actor", "Brisk Otter", "clear"),
        (21, 30, "malware", "Kestroxin", "clear"),
    ]
    # The incident's actor is the table's, whatever alias it used.
    owned = {gazetteer.entities[at] for at in gazetteer.incident_entities}
    assert owned == {Entity("actor", "Brisk Otter")}


def test_an_alias_of_two_actors_is_both():
    gazetteer = build_gazetteer(incidents(), [Name("actor", "Brisk Otter", ("Zorvex",)), Name("actor", "Mild Stoat", ("Zorvex",))])
    assert [item.value for item in find_matches(["by Zorvex"], gazetteer)] == ["Brisk Otter", "Mild Stoat"]


ORDINARY = next(word for word in sorted(general_words()) if len(word) > 6 and word.isascii() and word.isalpha())
"""A word that the frequencies know, so that these tests hold whatever words they have."""


def field_of_incidents() -> list[dict[str, object]]:
    return [{"name": f"Case {at}", "description": f"the zorbware encrypted many things in place {at}"} for at in range(60)]


@pytest.mark.parametrize(
    ("text", "support"),
    [
        ("we saw {0} here", None),
        ("{0} in the morning", None),
        ("they say that {0} did it", "capital"),
        ("{0} used zorbware again", "company"),
        ("we met {0} and Kestroxin there", "capital and company"),
        ("a {0} of zorbware was seen", None),
    ],
)
def test_a_word_of_the_language_needs_support(text: str, support: str | None):
    # Lower case is the word, a capital at the start says nothing, and what stands beside it speaks for it.
    written = ORDINARY if text.startswith(("we saw", "a ")) else ORDINARY.capitalize()
    gazetteer = build_gazetteer(incidents(*field_of_incidents()), [Name("actor", ORDINARY.capitalize()), Name("malware", "Kestroxin")])
    assert "zorbware" in gazetteer.field
    matches = find_matches([text.format(written)], gazetteer)
    found = [item.support for item in matches if item.kind == "actor"]
    assert found == ([support] if support else [])
    assert matches.unsupported == ({} if support else {ORDINARY: 1})


def test_a_word_mostly_used_as_one_counts_where_its_spelling_and_its_company_say_so_and_never_from_a_name_of_an_incident():
    word = ORDINARY.capitalize()
    texts = [f"#{word} zorbware", f"they say {word} used zorbware", *[f"a {ORDINARY} of joy"] * 6]
    gazetteer = build_gazetteer(incidents(*field_of_incidents()), [Name("organisation", word)])
    matches = find_matches(texts, gazetteer)
    assert matches.ambiguities[ORDINARY] >= 0.5
    assert [(item.row, item.support) for item in matches] == [(1, "capital and company")]
    assert matches.unsupported == {ORDINARY: 7}
    # Known from the name of an incident alone it is a word like any other.
    gazetteer = build_gazetteer(incidents(*field_of_incidents(), {"name": f"{word} breach", "description": ""}))
    assert f"name:{word}" in names(gazetteer)
    assert not list(find_matches(texts, gazetteer))
    assert [item.row for item in find_matches(texts[:2], gazetteer)] == [0, 1]


def test_where_no_word_of_the_field_is_known_an_attackers_plain_name_needs_another_name_beside():
    gazetteer = build_gazetteer(incidents(*field_of_incidents()), [Name("malware", "Korg"), Name("organisation", "Тостбанк")])
    # In English it is mostly met away from the words of the field.
    texts = ["две корги спят", "Тостбанк и корги", "they met zorbware", *["we saw the Korg there"] * 6]
    assert found(texts, gazetteer) == [(1, "Korg"), (1, "Тостбанк")]


def test_headlines_and_acronyms_say_little_by_capitals():
    gazetteer = build_gazetteer(incidents(), [Name("actor", ORDINARY.capitalize()), Name("organisation", "WHQ")])
    word = ORDINARY.capitalize()
    texts = [f"Many Moonrises Over {word} Again Today", f"many moonrises over {word} again today", "ask Whq of it", "ask WHQ of it"]
    matches = find_matches([*texts, *["ask whq of it"] * 6], gazetteer)
    assert [(item.row, item.support) for item in matches] == [(1, "capital")]
    # Most uses of the letters are a word, so that even the capitals would need company.
    assert matches.ambiguities["whq"] >= 0.5
    assert [item.row for item in find_matches(texts, gazetteer)] == [1, 2, 3]


def test_cyrillic_endings_are_undone_and_latin_ones_are_not():
    gazetteer = build_gazetteer(
        incidents({"entities": [{"kind": "organisation", "value": "Капков"}, {"kind": "organisation", "value": "Забеда"}]})
    )
    texts = ["о Капковым сказали", "вижу Забеду", "с Забедой", "Kapkova said", "Капковский"]
    assert found(texts, gazetteer) == [(0, "Капков"), (1, "Забеда"), (2, "Забеда")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("وزارة الصحة السعودية", "هجوم على وزارة الصحة السعودية {}"),
        ("بانک ملی ایران", "حمله به بانک ملی ایران {}"),
        ("თბილისის მერია", "ჰაკერებმა თბილისის მერია {} დააზიანეს"),
        ("国家电网", "黑客攻击国家电网系统{}"),
    ],
)
def test_scripts_without_case_name_things_too(name: str, text: str):
    described = [{"description": f"{name} {at}"} for at in range(3)]
    gazetteer = build_gazetteer(incidents(*described), [Name("organisation", name)])
    assert found([text.format(at) for at in range(6)], gazetteer) == [(at, name) for at in range(6)]


def test_an_ordinary_word_without_case_needs_company():
    word = "وزارة"
    assert word in general_words()
    gazetteer = build_gazetteer(incidents(), [Name("organisation", word), Name("malware", "Kestroxin")])
    assert found([f"هجوم على {word}", f"هجوم على {word} Kestroxin"], gazetteer) == [(1, "Kestroxin"), (1, word)]


def test_names_never_begin_or_end_inside_a_word():
    gazetteer = build_gazetteer(incidents(), [Name("malware", "Kestroxin"), Name("actor", "Brisk Otter")])
    assert len(find_matches(["Kestroxins preKestroxin Kestroxiné x@Kestroxin.org https://a.b/Kestroxin @Kestroxin"], gazetteer)) == 0
    tagged = list(find_matches(["so #BriskOtter and #Kestroxin_1"], gazetteer))
    assert [(item.start, item.end, item.value) for item in tagged if item.kind == "actor"] == [(4, 14, "Brisk Otter")]


def test_platforms_are_no_artefacts_and_spans_are_those_of_the_text():
    text = "на hxxps[:]//кот[.]рф/x и m.facebook.com, docs.google.com/a, evil.blogspot.com, x(dot)org, CVE‑2031‑12345"
    found_here = {(item.kind, item.value, text[item.start : item.end]) for item in artefacts_of(text)}
    assert ("domain", "кот.рф".encode("idna").decode(), "кот[.]рф") in found_here
    assert ("domain", "x.org", "x(dot)org") in found_here
    values = {value for kind, value, _ in found_here if kind == "domain"}
    assert "evil.blogspot.com" in values
    assert not values & {"facebook.com", "m.facebook.com", "docs.google.com", "google.com", "blogspot.com"}
    assert "CVE-2031-12345" in {value for _, value, _ in found_here}


def test_areas_are_asked_for():
    rows = incidents({"target_state": "EE", "sectors": ["Energy"]})
    assert build_gazetteer(rows).entities == ()
    matches = find_matches(["energy in Estonia"], build_gazetteer(rows, areas=True))
    assert [(item.kind, item.value, item.ambiguity) for item in matches] == [("sector", "Energy", 0.0), ("place", "EE", 0.0)]


def test_order_of_texts_does_not_matter():
    gazetteer = build_gazetteer(incidents(*field_of_incidents()), [Name("actor", ORDINARY.capitalize()), Name("malware", "Kestroxin")])
    texts = [f"a {ORDINARY} b", f"then {ORDINARY.capitalize()} came by", "Kestroxin", f"{ORDINARY.capitalize()} zorbware"] * 3
    one = [(*item[3:], texts[item.row]) for item in find_matches(texts, gazetteer)]
    other = [(*item[3:], texts[::-1][item.row]) for item in find_matches(texts[::-1], gazetteer)]
    assert sorted(one) == sorted(other)


def test_tables_are_read(tmp_path: Path):
    cluster = {"type": "threat-actor", "values": [{"value": "Brisk Otter", "meta": {"synonyms": ["Zorvex"]}, "description": "d"}, {}]}
    (tmp_path / "misp.json").write_text(json.dumps(cluster))
    objects = [
        {"type": "malware", "name": "Kestroxin", "x_mitre_aliases": ["Kx"]},
        {"type": "malware", "name": "Old", "revoked": True},
        {"type": "relationship"},
    ]
    (tmp_path / "stix.json").write_text(json.dumps({"type": "bundle", "objects": objects}))
    lines = "\n".join(json.dumps({"id": f"G{at}", "name": f"Group {at}", "aliases": []}) for at in range(2))
    (tmp_path / "attack.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    assert read_names(tmp_path / "misp.json") == [Name("actor", "Brisk Otter", ("Zorvex",), "d")]
    assert read_names(tmp_path / "stix.json") == [Name("malware", "Kestroxin", ("Kx",))]
    assert [name.value for name in read_names(tmp_path / "attack.jsonl.gz")] == ["Group 0", "Group 1"]
    (tmp_path / "bad.json").write_text('{"type": "moons", "values": []}')
    with pytest.raises(InputError, match="moons"):
        read_names(tmp_path / "bad.json")


def test_tables_hold_odd_signs_single_aliases_and_no_abyss(tmp_path: Path):
    lines = [
        {"id": "G1", "name": "Brisk Otter", "aliases": "Zorvex", "description": "one\u2028two"},
        {"id": "S2", "name": "Kestr\ud800xin"},
    ]
    text = "\n".join(json.dumps(line, ensure_ascii="\ud800" in line["name"]) for line in lines)
    (tmp_path / "odd.jsonl").write_text(text, encoding="utf-8")
    assert read_names(tmp_path / "odd.jsonl") == [Name("actor", "Brisk Otter", ("Zorvex",), "one\u2028two"), Name("malware", "Kestr?xin")]
    for name, deep in {"deep.json": "[" * 200_000, "deep.jsonl": '{"id": "G1", "name": "a"}\n' + "[" * 200_000}.items():
        (tmp_path / name).write_text(deep)
        with pytest.raises(InputError, match="nested too deeply"):
            read_names(tmp_path / name)


def test_plain_words_of_attackers_count_near_the_field_only():
    table = [Name("actor", "Superman"), Name("actor", "Turkestrox"), Name("actor", "Grizzle Moth")]
    gazetteer = build_gazetteer(incidents(*field_of_incidents()), table)
    texts = [f"number {at}: the film with Superman was long" for at in range(6)]
    texts += [
        "then Turkestrox sent zorbware",
        "and Turkestrox used zorbware",
        "so Grizzle Moth went home",
        "Turkestrox sent zorbware again",
    ]
    texts += ["they say that Superman sent zorbware"]
    assert sorted(set(found(texts, gazetteer))) == [
        (6, "Turkestrox"),
        (7, "Turkestrox"),
        (8, "Grizzle Moth"),
        (9, "Turkestrox"),
        (10, "Superman"),
    ]


def test_an_acronym_that_is_mostly_somebody_elses_is_no_attacker():
    gazetteer = build_gazetteer(incidents(*field_of_incidents()), [Name("actor", "Guild of Peas", ("GQP",))])
    talk = [f"number {at}: the GQP will vote on it today" for at in range(40)]
    mixed = [*talk, "zorbware hit the GQP", *(f"number {at}: zorbware was seen" for at in range(5))]
    matches = find_matches(mixed, gazetteer)
    assert matches.borrowed == ("gqp",)
    assert len(matches) == 0
    assert matches.unsupported == {"gqp": 41}
    # Where it is met in the talk of the field, it is theirs.
    field = [f"number {at}: GQP sent zorbware to it" for at in range(40)]
    assert len(find_matches([*field, *(f"number {at}: nothing happened" for at in range(40))], gazetteer)) == 40


def test_a_region_after_a_comma_is_where_and_no_name():
    gazetteer = build_gazetteer(incidents({"entities": [{"kind": "organisation", "value": "Waynesboro Works, Virginia"}]}))
    assert found(["Virginia is large", "at Waynesboro Works today"], gazetteer) == [(1, "Waynesboro Works, Virginia")]


def test_copies_are_looked_up_once_and_weigh_as_often():
    gazetteer = build_gazetteer(incidents({"entities": [{"kind": "malware", "value": "Shadow"}]}))
    distinct = ["The Shadow came", "in the shadow of it"]
    rules = NameRules.of(load_doctrine())
    uses = read_uses(distinct, gazetteer, near=rules.near)
    once = judge_uses(uses, gazetteer, rules, np.array([3, 7]))
    every = find_matches([distinct[0]] * 3 + [distinct[1]] * 7, gazetteer)
    assert once.ambiguities == every.ambiguities
    assert once.unsupported == every.unsupported
