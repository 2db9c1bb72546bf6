"""The encoder within a case: its settings in the manifest, what they change, and the scripts it does not know."""

from __future__ import annotations

import json

import numpy as np
import pytest

from greyzone.case import Case
from greyzone.errors import InputError
from greyzone.pipeline import Settings, advance, run

TODAY = "2026-01-01"
ROWS = [
    {"text": f"the power grid failed again {place} in the north", "date": "2024-02-01", "account": f"account{place}"} for place in range(6)
] + [
    {"text": "Электросеть на севере снова отказала", "date": "2024-02-01", "account": "one"},
    {"text": "Свет погас в трёх городах", "date": "2024-02-02", "account": "two"},
]


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    file = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def latin_model(tmp_path_factory):
    """A static model of a few English words and letters; Cyrillic is unknown to it."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["[UNK]", "the", "power", "grid", "failed", "again", "in", "north", "query", ":"]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    table = np.random.default_rng(0).normal(size=(len(words), 16)).astype(np.float32)
    folder = tmp_path_factory.mktemp("latin") / "model"
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=table)], device="cpu").save(str(folder))
    return folder


def prints(folder):
    return {name: record["fingerprint"] for name, record in Case(folder).manifest["stages"].items()}


def test_unknown_scripts_are_counted_and_warned_of(documents, latin_model, tmp_path, caplog):
    settings = Settings(today=TODAY, encoder=str(latin_model), device="cpu")
    notes = run(documents, out=tmp_path / "case", settings=settings, until="embed").notes()["embed"]
    assert notes["unknown_scripts"] == {"Cyrl": 2}
    assert notes["without_vector"] == 2
    assert "dtype 'float32'" in notes["encoder_settings"]
    assert "does not know the script of 2 of 8 texts (2 in Cyrl)" in caplog.text
    known = run(documents, out=tmp_path / "hashed", settings=Settings(today=TODAY, encoder="hashed"), until="embed").notes()["embed"]
    assert known["unknown_scripts"] == {}


def test_settings_of_an_encoder_redo_what_depends_on_it_and_go_with_it(documents, latin_model, tmp_path):
    folder = tmp_path / "case"
    settings = Settings(today=TODAY, encoder=str(latin_model), device="cpu")
    run(documents, out=folder, settings=settings, until="link")
    before = prints(folder)
    advance(folder, {"prompt": "query: ", "dimensions": 8}, until="link")
    assert Case(folder).notes()["embed"]["dimensions"] == 8
    after = prints(folder)
    changed = {name for name in before if before[name] != after[name]}
    assert changed >= {"embed", "narratives", "link"}
    assert not changed & {"collect", "collapse", "incidents"}
    advance(folder, {"encoder": "hashed"}, until="embed")
    kept = Case(folder).settings
    assert (kept["encoder"], kept["prompt"], kept["dimensions"], kept["device"]) == ("hashed", "auto", None, "cpu")
    with pytest.raises(InputError, match="dimensions 8 for the embedded encoder 'hashed'"):
        advance(folder, {"dimensions": 8}, until="embed")


def test_the_lexical_setting_redoes_narratives_alone(documents, tmp_path):
    folder = tmp_path / "case"
    run(documents, out=folder, settings=Settings(today=TODAY, encoder="hashed"), until="narratives")
    before = prints(folder)
    advance(folder, {"lexical": "off"}, until="narratives")
    after = prints(folder)
    assert [name for name in before if before[name] != after[name]] == ["narratives"]
    assert Case(folder).settings["lexical"] == "off"
    with pytest.raises(InputError, match="lexical 'perhaps'"):
        advance(folder, {"lexical": "perhaps"}, until="narratives")


def test_cases_of_before_these_settings_still_open(documents, tmp_path):
    folder = tmp_path / "case"
    run(documents, out=folder, settings=Settings(today=TODAY), until="embed")
    before = prints(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in ("dtype", "prompt", "dimensions", "long_texts", "lexical"):
        del manifest["settings"][name]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    advance(folder, {"min_cluster_size": 3}, until="embed")
    assert prints(folder) == before
    assert Case(folder).settings["long_texts"] == "windows"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"prompt": "query: "}, "prompt 'query: ' for the embedded encoder 'default'"),
        ({"encoder": "some/model", "dtype": "int8"}, "dtype 'int8'"),
        ({"encoder": "some/model", "long_texts": "drop"}, "windows or truncate"),
        ({"encoder": "some/model", "dimensions": 0}, "dimensions 0"),
        ({"device": "tpu"}, "device 'tpu'"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_read(documents, tmp_path, wrong, said):
    with pytest.raises(InputError, match=said):
        run(documents, out=tmp_path / "case", settings=Settings(today=TODAY, **wrong))
    assert not list((tmp_path / "case").glob("*.parquet"))
