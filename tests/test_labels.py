"""Terms, labels and headlines: counts that add up in any division, weights by hand, every script spelt as its readers do."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from greyzone import labels, terms


def counted(*groups):
    """Count texts of groups, the last one the background."""
    rows = [(text, group) for group, texts in enumerate(groups) for text in texts]
    texts = pa.table({"title": pa.nulls(len(rows), pa.string()), "text": [row[0] for row in rows], "lang": ["en"] * len(rows)})
    return terms.count(terms.TextBatch(texts, np.array([row[1] for row in rows], dtype=np.int64), len(groups) - 1))


def test_keyword_weights_by_hand():
    # Words: 4 in the narrative, 2 in the background, mean 3. grain: 3 of 4 words, 3 overall: .75 ln 2. news: 1 of 4, 2 overall, but in
    # one text only, where grain is in two: it names nothing.
    found = labels.weigh(counted(["grain news", "grain grain"], ["news vote"]).terms, 1, 2)
    assert found.weights(0) == {"grain": pytest.approx(0.75 * np.log(2))}
    alone = labels.weigh(counted(["news vote"], ["grain news", "grain grain"]).terms, 1, 2)
    assert alone.weights(0) == {"news": pytest.approx(0.5 * np.log(2.5)), "vote": pytest.approx(0.5 * np.log(4))}


def test_terms_leave_out_what_names_nothing():
    assert terms.terms_of("The 2024 vote: see https://example.org/vote @someone #Harbour is at 5", "en") == ["vote", "harbour"]
    assert terms.terms_of("選挙", "ja") == ["選挙"]


def test_spellings_of_one_word_stand_once():
    weights = {"ukraine": 3.0, "ukrainian": 2.0, "harbour": 1.0, "harbours": 0.5, "vote": 0.2}
    assert labels.top_terms(weights) == ["ukraine", "harbour", "vote"]
    assert labels.top_terms(weights, 2) == ["ukraine", "harbour"]


def test_headlines_are_extracts_cut_at_a_word():
    long = "Harbour " + "closed again after the storm " * 12
    found = labels.headline(None, "Short aside. " + long, {"harbour": 1.0, "storm": 1.0})
    assert len(found) <= labels.HEADLINE_LENGTH
    assert found.endswith("…")
    assert long.startswith(found[:-1])
    assert long[len(found) - 1] == " "
    assert labels.headline("A title", "https://example.org/x", {}) == "A title"
    assert labels.headline(None, None, {}) == ""
