"""Navigator layers: the fields of the layer format, evidence counted by hand, nothing that judges."""

from __future__ import annotations

import json
import random

import pytest

from greyzone import techniques
from greyzone.doctrine import load_doctrine
from greyzone.errors import InputError
from greyzone.navigator import FRAMEWORKS, layer
from greyzone.words import refused

OBJECTS = {
    "layer": {
        "versions": (dict, False),
        "name": (str, True),
        "description": (str, False),
        "domain": (str, True),
        "customDataURL": (str, False),
        "filters": (dict, False),
        "sorting": (int, False),
        "layout": (dict, False),
        "hideDisabled": (bool, False),
        "techniques": (list, False),
        "gradient": (dict, False),
        "legendItems": (list, False),
        "showTacticRowBackground": (bool, False),
        "tacticRowBackground": (str, False),
        "selectTechniquesAcrossTactics": (bool, False),
        "selectSubtechniquesWithParent": (bool, False),
        "selectVisibleTechniques": (bool, False),
        "metadata": (list, False),
        "links": (list, False),
    },
    "versions": {"attack": (str, False), "navigator": (str, True), "layer": (str, True)},
    "technique": {
        "techniqueID": (str, True),
        "tactic": (str, False),
        "comment": (str, False),
        "enabled": (bool, False),
        "score": ((int, float), False),
        "color": (str, False),
        "metadata": (list, False),
        "links": (list, False),
        "showSubtechniques": (bool, False),
    },
    "gradient": {"colors": (list, True), "minValue": ((int, float), True), "maxValue": ((int, float), True)},
    "layout": {
        "layout": (str, False),
        "showID": (bool, False),
        "showName": (bool, False),
        "showAggregateScores": (bool, False),
        "countUnscored": (bool, False),
        "aggregateFunction": (str, False),
        "expandedSubtechniques": (str, False),
    },
    "legend": {"label": (str, True), "color": (str, True)},
    "metadata": {"name": (str, True), "value": (str, True)},
    "link": {"label": (str, True), "url": (str, True)},
}
"""The tables of layers/spec/v4.5/layerformat.md in mitre-attack/attack-navigator: property -> (type, required)."""


def faults(found: dict) -> list[str]:
    """Return in what a layer is not as the format has it."""
    parts = [("layer", found), *((name, found[name]) for name in ("versions", "gradient", "layout"))]
    parts += [("legend", item) for item in found["legendItems"]] + [("metadata", item) for item in found["metadata"]]
    for item in found["techniques"]:
        parts += [("technique", item), *(("metadata", inner) for inner in item["metadata"]), *(("link", inner) for inner in item["links"])]
    told = []
    for kind, item in parts:
        known = OBJECTS[kind]
        told += [f"{kind}.{name} is unknown" for name in item if name not in known]
        told += [f"{kind}.{name} is missing" for name, (_, required) in known.items() if required and name not in item]
        told += [f"{kind}.{name} is {value!r}" for name, value in item.items() if name in known and not isinstance(value, known[name][0])]
    told += [f"link {item['url']}" for kind, item in parts if kind == "link" and not item["url"].startswith("https://")]
    return told + ([] if found["gradient"]["maxValue"] > found["gradient"]["minValue"] else ["an empty gradient"])


def tag(framework, identifier, subject, trigger, *documents):
    return {"framework": framework, "id": identifier, "name": "x", "subject": subject, "trigger": trigger, "documents": list(documents)}


TAGS = [
    tag("ATT&CK", "T1498", "inc-1", "described with “ddos”", "rep-1", "rep-2"),
    tag("ATT&CK", "T1498", "inc-2", "described with “ddos”", "rep-2", "rep-3"),
    tag("ATT&CK", "T1586.001", "inc-2", "described with “twitter account”"),
    tag("DISARM", "T0084.001", "nar-1", "7 accounts posted one text", "doc-1"),
]


@pytest.mark.parametrize("framework", sorted(FRAMEWORKS))
def test_layers_have_the_fields_of_the_format(framework):
    found = layer(TAGS, framework, name="case", metadata=[("case", "CASE")])
    assert faults(found) == []
    assert faults(layer([], framework, name="nothing")) == []
    wrong = found | {"name": 7, "colour": "red", "gradient": {"colors": [], "minValue": 1, "maxValue": 1}}
    del wrong["domain"]
    assert faults(wrong) == ["layer.colour is unknown", "layer.domain is missing", "layer.name is 7", "an empty gradient"]


def test_versions_and_domains_are_those_of_the_two_navigators():
    found = layer(TAGS, "attack", name="x")
    assert (found["domain"], found["versions"]) == ("enterprise-attack", {"attack": "18", "navigator": "5.2.0", "layer": "4.5"})
    found = layer(TAGS, "disarm", name="x")
    assert (found["domain"], found["versions"]) == ("DISARM", {"attack": "1", "navigator": "4.8.2", "layer": "4.4"})


def test_scores_count_distinct_documents_and_comments_list_triggers_with_them():
    """Golden: T1498 is shown by rep-1, rep-2 and rep-3; a tag without documents counts one."""
    found = {item["techniqueID"]: item for item in layer(TAGS, "attack", name="x")["techniques"]}
    assert {name: item["score"] for name, item in found.items()} == {"T1498": 3, "T1586.001": 1}
    assert found["T1498"]["comment"] == ("inc-1: described with “ddos” [rep-1, rep-2]\ninc-2: described with “ddos” [rep-2, rep-3]")
    assert found["T1586.001"]["links"][0]["url"] == "https://attack.mitre.org/techniques/T1586/001/"
    assert [item["techniqueID"] for item in layer(TAGS, "disarm", name="x")["techniques"]] == ["T0084.001"]


def test_order_and_repeats_change_nothing():
    shuffled = TAGS * 2
    random.Random(4).shuffle(shuffled)
    assert json.dumps(layer(shuffled, "attack", name="x")) == json.dumps(layer(TAGS, "attack", name="x"))


def test_no_text_of_ours_judges():
    doctrine = load_doctrine()
    for framework in FRAMEWORKS:
        assert not refused(json.dumps(layer(TAGS, framework, name="x")), doctrine)


def test_every_technique_that_we_tag_is_of_a_framework_with_a_layer():
    names = {framework.name for framework in FRAMEWORKS.values()}
    assert {framework for framework, _ in techniques.TABLE} == names


def test_an_unknown_framework_is_one_line():
    with pytest.raises(InputError, match="one of attack, disarm"):
        layer(TAGS, "capec", name="x")
