"""A model that writes: its lines are one line, stand beside the headline, and never in its place."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pytest

from greyzone import records
from greyzone.case import Case
from greyzone.cli import main
from greyzone.doctrine import load_doctrine
from greyzone.errors import EncoderError
from greyzone.models import labeller as module
from greyzone.models.labeller import HubLabeller, check_labeller, one_line
from greyzone.narratives import describe_narratives
from greyzone.pipeline import advance

TEXTS = ["zorb quix blan mirrol", "tev zorb quix", "quix mirrol blan tev"]


def tokenizer(folder, length):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "</s>", "<unk>", "zorb", "quix", "blan", "mirrol", "tev", "story", "-", ":"]
    inner = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    made = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=length)
    made.save_pretrained(folder)
    return made, len(words)


@pytest.fixture(scope="module")
def causal(tmp_path_factory):
    """A causal model of one layer with fixed weights."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    folder = tmp_path_factory.mktemp("causal")
    _, size = tokenizer(folder, 128)
    torch.manual_seed(1)
    GPT2LMHeadModel(
        GPT2Config(vocab_size=size, n_positions=128, n_embd=16, n_layer=1, n_head=2, eos_token_id=1, bos_token_id=1)
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def sequence(tmp_path_factory):
    """A sequence-to-sequence model of one layer with fixed weights."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    folder = tmp_path_factory.mktemp("sequence")
    _, size = tokenizer(folder, 128)
    torch.manual_seed(2)
    config = T5Config(
        vocab_size=size, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1
    )
    T5ForConditionalGeneration(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ["causal", "sequence"])
def test_both_kinds_of_models_write_one_line(kind, request):
    labeller = HubLabeller(request.getfixturevalue(kind), device="cpu")
    assert isinstance(labeller, records.Labeller)
    once = labeller.label(TEXTS, ["zorb"])
    assert once == labeller.label(TEXTS, ["zorb"]) == one_line(once)
    assert set(once.split()) <= {"zorb", "quix", "blan", "mirrol", "tev", "story", "-", ":"}


def test_a_causal_model_does_not_repeat_its_prompt(causal):
    labeller = HubLabeller(causal, device="cpu")
    written = labeller.label(TEXTS, ["zorb"])
    assert len(written.split()) <= module.NEW_TOKENS
    assert module.INSTRUCTION[:20] not in written


def test_what_does_not_fit_is_left_out_from_the_end(causal, monkeypatch):
    labeller = HubLabeller(causal, device="cpu")
    asked = []
    whole = labeller._ids
    monkeypatch.setattr(labeller, "_ids", lambda kept, keywords: asked.append(len(kept)) or whole(kept, keywords))
    labeller.label(["zorb " * 40] * 4, ["zorb"])
    assert asked == sorted(asked, reverse=True)
    assert asked[0] == 4 > asked[-1]
    with pytest.raises(EncoderError, match="reads 96 tokens"):
        labeller.label(TEXTS, ["zorb"] * 200)


def load(folder):
    return HubLabeller(folder, device="cpu")


@pytest.mark.parametrize("refuse", [load, check_labeller])
def test_models_that_write_nothing_are_refused(refuse, causal, tmp_path):
    from transformers import ViTConfig

    for nowhere in (tmp_path / "nowhere", "nowhere"):
        with pytest.raises(EncoderError, match=r"no folder .*nowhere; expected a folder that transformers saved"):
            refuse(nowhere)
    with pytest.raises(EncoderError, match="writes text"):
        refuse(tmp_path)
    shutil.copytree(causal, tmp_path / "bare")
    (tmp_path / "bare" / "model.safetensors").unlink()
    with pytest.raises(EncoderError, match="holds no model that writes text"):
        refuse(tmp_path / "bare")
    shutil.copytree(causal, tmp_path / "cut")
    (tmp_path / "cut" / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{")
    with pytest.raises(EncoderError, match="holds no model that writes text"):
        refuse(tmp_path / "cut")
    shutil.copytree(causal, tmp_path / "vision")
    ViTConfig().save_pretrained(tmp_path / "vision")
    with pytest.raises(EncoderError, match="a vit model writes none"):
        refuse(tmp_path / "vision")


def test_a_check_loads_no_weights(causal, sequence, monkeypatch):
    from transformers import PreTrainedModel

    monkeypatch.setattr(PreTrainedModel, "from_pretrained", None)
    check_labeller(causal)
    check_labeller(sequence)
    with pytest.raises(TypeError):
        load(causal)


def test_one_line():
    assert one_line("\n \n  The harbour\u2028is \x07closed\tagain \nmore") == "The harbour"
    assert one_line("") == ""
    assert len(one_line("word " * 90)) == module.LONGEST


class Echo:
    """Says what it was asked."""

    def label(self, exemplars, keywords):
        return f"{len(exemplars)} of {keywords[0]}: {exemplars[0]}"


def described(labeller):
    rows = [{"doc_id": f"doc-{place}", "title": None, "text": f"harbour strike number{place}", "lang": "en"} for place in range(3)]
    rows[0]["title"] = "Harbour strike"
    vectors = np.array([[1, 0]] * 3, dtype=np.float32)
    return describe_narratives(
        records.table(rows, records.DOCUMENTS),
        records.empty(records.COPIES),
        vectors,
        np.zeros(3, dtype=int),
        np.ones(3),
        doctrine=load_doctrine(),
        labeller=labeller,
    ).narratives


def test_generated_labels_stand_beside_what_was_extracted():
    plain, labelled = described(None), described(Echo())
    assert plain["generated_label"].to_pylist() == [None]
    assert labelled["generated_label"].to_pylist() == ["3 of harbour: Harbour strike harbour strike number0"]
    assert labelled.drop_columns("generated_label").equals(plain.drop_columns("generated_label"))


@pytest.fixture(scope="module")
def posts(tmp_path_factory):
    """Two stories, told six times each in other words."""
    told = [f"harbour strike in zorb stops ship {number} of the fleet" for number in range(6)]
    told += [f"quix election recount ordered after ballot box {number} was lost" for number in range(6)]
    file = tmp_path_factory.mktemp("posts") / "posts.jsonl"
    file.write_text("".join(json.dumps({"text": text, "lang": "en"}) + "\n" for text in told))
    return file


def test_a_case_keeps_its_labeller_until_it_goes_back(posts, causal, tmp_path):
    given = {"documents": [str(posts)], "encoder": "hashed", "today": "2026-01-01", "min_cluster_size": 2}
    folder = tmp_path / "case"
    plain = advance(folder, given, until="narratives", workers=1).table("narratives")
    assert plain.num_rows
    assert plain["generated_label"].null_count == plain.num_rows
    assert greyzone("narratives", folder, "--labeller", causal) == 0
    case = Case(folder)
    labelled, documents = case.table("narratives"), case.table("documents")
    assert labelled.drop_columns("generated_label").equals(plain.drop_columns("generated_label"))
    texts = dict(zip(documents["doc_id"].to_pylist(), documents["text"].to_pylist(), strict=True))
    model = HubLabeller(causal, device="cpu")
    expected = [
        model.label([texts[name] for name in row["exemplars"]], row["keywords"]) or None
        for row in labelled.select(["exemplars", "keywords"]).to_pylist()
    ]
    assert labelled["generated_label"].to_pylist() == expected
    assert any(expected)
    before = (folder / "narratives.parquet").stat().st_mtime_ns
    assert greyzone("narratives", folder) == 0
    assert (folder / "narratives.parquet").stat().st_mtime_ns == before
    assert greyzone("narratives", folder, "--labeller", "none") == 0
    assert Case(folder).table("narratives").equals(plain)


def test_what_writes_nothing_is_told_before_the_case_remembers_it(posts, tmp_path, capsys):
    folder = tmp_path / "case"
    advance(folder, {"documents": [str(posts)], "encoder": "hashed", "today": "2026-01-01"}, until="collect", workers=1)
    assert greyzone("narratives", folder, "--labeller", str(tmp_path / "none" / "such" / "model")) == 2
    assert "no folder" in capsys.readouterr().err
    assert Case(folder).settings["labeller"] is None


def greyzone(*arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["greyzone", *map(str, arguments)])
        try:
            main()
        except SystemExit as left:
            return left.code or 0
    return 0
