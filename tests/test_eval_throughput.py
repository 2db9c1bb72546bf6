"""Throughput: the count of operations by hand, and a real measurement of a model of two small layers."""

from __future__ import annotations

import json

import pytest

from greyzone.errors import InputError
from greyzone.eval.encoders import throughput

TINY = throughput.Size(layers=2, width=16, heads=2, inner=32, vocabulary=60)


def layer_parameters(size):
    """Four maps of the width, two to and from the inner width, biases and two norms, in each layer."""
    attention = 4 * (size.width * size.width + size.width)
    inner = 2 * size.width * size.inner + size.inner + size.width
    return size.layers * (attention + inner + 4 * size.width)


def test_golden_operations():
    # 2 layers: attention 4 * (16 * 16 + 16) = 1088, inner 2 * 16 * 32 + 32 + 16 = 1072, norms 4 * 16 = 64; together 2224 each.
    assert layer_parameters(TINY) == 4448
    # 10 tokens: 2 * 4448 * 10 = 88,960 and 4 * 2 layers * 100 * 16 = 12,800.
    assert throughput.operations_a_document(TINY, 4448, 10) == 101_760
    # 6 layers of 1,774,464 parameters, and 12 of 7,087,872, as published without embeddings.
    assert layer_parameters(throughput.SIZES["minilm-l6"]) == 10_646_784
    assert layer_parameters(throughput.SIZES["e5-base"]) == 85_054_464


def test_tiny_model_is_what_the_count_says(tmp_path):
    from greyzone.models import load_encoder

    model = throughput.build_model(TINY, tmp_path)
    assert sum(weight.numel() for weight in model.encoder.parameters()) == layer_parameters(TINY)
    encoder = load_encoder(tmp_path / "model", device="cpu")
    # Every invented word is one token: a text of six has six, beside the two special ones.
    words = [throughput._word(index) for index in range(TINY.vocabulary - len(throughput.SPECIAL))]
    assert len(set(words)) == len(words)
    assert encoder.token_counts([" ".join(words[:6])]).tolist() == [[6, 0]]
    assert encoder.encode([" ".join(words[:6])]).shape == (1, 16)


def test_measures_on_the_cpu():
    effort = throughput.Effort(batch_tokens=32, batches=2, passes=1, side=64)
    found = throughput.measure_throughput(device="cpu", sizes={"tiny": TINY}, lengths=(8, 16), effort=effort)
    assert [(speed.tokens, speed.batch_size, speed.dtype) for speed in found.speeds] == [(8, 4, "float32"), (16, 2, "float32")]
    for speed in found.speeds:
        assert speed.encode_documents > 0
        assert speed.parameters == 4448
        assert speed.forward_operations == pytest.approx(speed.forward_documents * speed.operations_a_document)
        assert speed.share_of_ceiling == pytest.approx(speed.forward_operations / found.ceilings["float32"])
    assert set(json.loads(throughput.to_json(found))["versions"]) == {"python", "torch", "cuda", "transformers", "sentence-transformers"}
    table = throughput.format_table(found).splitlines()
    assert len([line for line in table if line.startswith("| tiny |")]) == 2


def test_command(monkeypatch, capsys):
    monkeypatch.setattr(throughput, "SIZES", {"tiny": TINY})
    assert throughput.main(["--quick", "--device", "cpu", "--tokens", "8", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [speed["model"] for speed in found["speeds"]] == ["tiny"]
    assert throughput.main(["--quick", "--device", "tpu"]) == 2
    assert "device 'tpu'" in capsys.readouterr().err


def test_lengths_out_of_range():
    for wrong in ((), (2,), (513,)):
        with pytest.raises(InputError, match=r"3..512"):
            throughput.measure_throughput(device="cpu", sizes={"tiny": TINY}, lengths=wrong)


@pytest.mark.skipif("not __import__('torch').cuda.is_available()", reason="no CUDA device")
def test_measures_both_precisions_on_cuda():
    effort = throughput.Effort(batch_tokens=64, batches=2, passes=1, side=256)
    found = throughput.measure_throughput(device="cuda", sizes={"tiny": TINY}, lengths=(8,), effort=effort)
    assert [speed.dtype for speed in found.speeds] == ["float32", "bfloat16"]
