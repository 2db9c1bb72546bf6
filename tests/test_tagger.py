"""A token-classification model that reads names in the texts of incidents: tiny ones, made here."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from greyzone.case import Case
from greyzone.cli import main
from greyzone.entities import build_gazetteer, find_entities
from greyzone.entities.generic import GENERIC
from greyzone.entities.tagger import HubTagger, Tagged, Tagger, check_tagger, tagged_incidents
from greyzone.errors import EncoderError
from greyzone.pipeline import advance
from greyzone.records import INCIDENTS, table
from greyzone.text import fold

WINDOW = 16
"""Tokens that the models read at once."""


def model_of(folder: Path, organisations: list[str], *, other: str = "the") -> Path:
    """Write a model that tags some words as organisations, wherever they stand, and nothing else."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast

    vocabulary = {word: at for at, word in enumerate(["[PAD]", "[UNK]", other, *organisations])}
    backend = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", pad_token="[PAD]").save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        max_position_embeddings=WINDOW,
        id2label={0: "O", 1: "B-ORG"},
        label2id={"O": 0, "B-ORG": 1},
    )
    model = BertForTokenClassification(config)
    sign = torch.tensor([1.0, -1.0] * 4)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            weights.fill_(1.0 if name.endswith("LayerNorm.weight") else 0.0)
        # Only the words of organisations have a direction, along which the classifier looks.
        model.bert.embeddings.word_embeddings.weight[3:] = sign
        model.classifier.weight[1] = sign
        model.classifier.bias[0] = 4.0
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def otters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows one organisation."""
    return model_of(tmp_path_factory.mktemp("otters"), ["Otterby"])


def test_a_model_reads_all_of_a_long_text(otters: Path):
    tagger = HubTagger(otters)
    assert isinstance(tagger, Tagger)
    assert tagger.tag(["", " ".join(["Otterby"] * 50)]) == [
        Tagged(1, 8 * at, 8 * at + 7, "organisation", "Otterby", pytest.approx(0.982, abs=0.001)) for at in range(50)
    ]
    assert tagger.tag(["the and the"]) == []


@pytest.mark.parametrize("refuse", [HubTagger, check_tagger])
def test_what_tags_no_words_is_refused(refuse: Callable[[str | Path], object], otters: Path, tmp_path: Path):
    for nowhere in (tmp_path / "none", "none"):
        with pytest.raises(EncoderError, match=r"no folder .*none; expected a token-classification model"):
            refuse(nowhere)
    (tmp_path / "empty").mkdir()
    with pytest.raises(EncoderError, match="holds no model that tags words"):
        refuse(tmp_path / "empty")
    for name, change in {"bare": lambda file: file.unlink(), "broken": lambda file: file.write_bytes(b"\0" * 64)}.items():
        shutil.copytree(otters, tmp_path / name)
        change(tmp_path / name / "model.safetensors")
        with pytest.raises(EncoderError, match="holds no model that tags words"):
            refuse(tmp_path / name)


@pytest.mark.parametrize("refuse", [HubTagger, check_tagger])
def test_an_encoder_without_labels_is_refused(refuse: Callable[[str | Path], object], otters: Path, tmp_path: Path):
    shutil.copytree(otters, tmp_path / "plain")
    config = tmp_path / "plain" / "config.json"
    told = json.loads(config.read_text(encoding="utf-8")) | {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}
    config.write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(EncoderError, match=r"tags words \(its labels are LABEL_0, LABEL_1; one of ACTOR, .* is read\)"):
        refuse(tmp_path / "plain")


def test_a_check_loads_no_weights(otters: Path, monkeypatch: pytest.MonkeyPatch):
    from transformers import PreTrainedModel

    monkeypatch.setattr(PreTrainedModel, "from_pretrained", None)
    check_tagger(otters)
    with pytest.raises(TypeError):
        HubTagger(otters)


class Reader:
    """Reads what it is told to."""

    def __init__(self, *found: Tagged) -> None:
        self.found = list(found)

    def tag(self, texts: list[str]) -> list[Tagged]:
        return self.found


def incidents() -> pa.Table:
    rows = [
        {
            "name": "Attack on a ferry line",
            "description": "Otterby and Marrow were hit.",
            "entities": [{"kind": "malware", "value": "marrow"}],
        },
        {"name": "Attack on a bank", "description": ""},
    ]
    return table([{"incident_id": f"inc-{at}", **row} for at, row in enumerate(rows)], INCIDENTS)


def test_what_a_model_reads_is_added_once_and_its_doubts_and_places_are_not():
    reader = Reader(
        Tagged(0, 0, 7, "organisation", "Otterby", 0.95),
        Tagged(0, 0, 7, "actor", "Otterby", 0.97),
        Tagged(0, 12, 18, "organisation", "Marrow", 0.99),
        Tagged(0, 20, 27, "organisation", "Doubtful", 0.5),
        Tagged(1, 0, 4, "place", "Seaton", 0.99),
    )
    found, added = tagged_incidents(incidents(), reader, least=0.9)
    assert added == 1
    assert found["entities"].to_pylist() == [
        [{"kind": "malware", "value": "marrow"}, {"kind": "actor", "value": "Otterby"}],
        incidents()["entities"][1].as_py(),
    ]
    assert found.drop_columns("entities").equals(incidents().drop_columns("entities"))


def test_documents_are_searched_for_what_a_model_read(otters: Path):
    texts = ["Ships of Otterby stay in port.", "Nothing happened."]

    def named(rows: pa.Table) -> list[tuple[int, str]]:
        gazetteer = build_gazetteer(rows)
        mentions = find_entities(texts, gazetteer)
        return [(int(row), gazetteer.entities[at].value) for row, at in zip(mentions.rows, mentions.entities, strict=True)]

    assert named(incidents()) == []
    assert named(tagged_incidents(incidents(), HubTagger(otters), least=0.9)[0]) == [(0, "Otterby")]


def test_a_case_keeps_its_tagger_until_it_goes_back(scenario_case: Case, tmp_path: Path):
    folder = tmp_path / "case"
    shutil.copytree(scenario_case.path, folder)
    plain = Case(folder).table("links")
    # A word that stands in the text of an incident and is no entity of it yet.
    rows = Case(folder).table("incidents").select(["name", "description", "entities"]).to_pylist()
    known = build_gazetteer(Case(folder).table("incidents")).vocabulary | GENERIC
    said = (word for row in rows for word in (row["description"] or "").split() if word.isalpha() and len(word) > 6)
    word = next(word for word in said if fold(word) not in known)
    holding = sum(word in f"{row['name']} {row['description']}".split() for row in rows)
    model = model_of(tmp_path / "model", [word])
    assert greyzone("link", folder, "--tagger", model) == 0
    case = Case(folder)
    assert case.settings["tagger"] == str(model)
    noted = case.notes()["link"]
    assert isinstance(noted, dict)
    assert noted["entities_tagged"] == holding > 0
    assert noted["context"]["entities"] > scenario_case.notes()["link"]["context"]["entities"]  # type: ignore[index]
    # The model is one of the things that a link is made of: gone, it changes nothing that was made.
    shutil.rmtree(model)
    advance(folder, {}, until="link")
    assert Case(folder).notes()["link"] == noted
    assert greyzone("link", folder, "--tagger", "none") == 0
    assert Case(folder).table("links").equals(plain)


def test_a_tagger_that_is_not_there_is_told_before_the_case_remembers_it(
    scenario_case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert greyzone("link", scenario_case.path, "--tagger", tmp_path / "none") == 2
    assert "no folder" in capsys.readouterr().err
    assert Case(scenario_case.path).settings["tagger"] is None


def greyzone(*arguments: object) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["greyzone", *map(str, arguments)])
        try:
            main()
        except SystemExit as left:
            return int(left.code or 0)
    return 0
