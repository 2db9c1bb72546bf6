"""The sets, what is measured on them, the table of encoders and the gate, on invented files of the declared columns."""

from __future__ import annotations

import gzip
import hashlib
import json
import sys

import numpy as np
import pytest

from greyzone.errors import EncoderError, InputError, SchemaError
from greyzone.eval.encoders import command as encoders
from greyzone.eval.encoders import footprint, gate, rivals, sets, tasks
from greyzone.models import HashedEncoder

STORIES = (
    "the reactor at Zorbinsk was shut down after a leak",
    "the mayor of Quixburg opened a bridge over the river",
    "a singer from Blanka won the contest with a ballad",
)


def write_json(path, rows):
    write_lines(path, (json.dumps(row, ensure_ascii=False) for row in rows))


def write_table(path, rows):
    write_lines(path, ("\t".join(row) for row in rows))


def write_lines(path, lines):
    # Without the time of writing, so that the same rows have the same digest a second later.
    path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0))


def clustered(**fields):
    """Nine rows of three stories; each story's rows share most words."""
    return [{name: value.format(text=f"{STORIES[i % 3]} say reports {i}", story=i % 3) for name, value in fields.items()} for i in range(9)]


@pytest.fixture
def folder(tmp_path):
    """Every set, invented and small."""
    scores = [0.0, 2.5, 5.0, 1.0]
    pairs = [("a cat sat", "rain in June"), ("a cat sat", "a cat ran"), ("red car", "red car"), ("blue sky", "a blue boat")]
    write_json(
        tmp_path / "stsb_multi_mt.jsonl.gz",
        [
            {"split": split, "score": score}
            | {f"s{side + 1}_{lang}": texts[side] for lang in sets.STSB_LANGUAGES for side in (0, 1)}
            | {"s1_en": f"{texts[0]} {split}"}
            for split in ("train", "test")
            for score, texts in zip(scores, pairs, strict=True)
        ],
    )
    table = [("set", "sub", "split", "score", "s1", "s2", "lang")]
    for name, split in (("sts2012", "train"), ("sts2012", "test"), ("sts2013", "test"), ("sick", "train"), ("msrp", "test")):
        for score, (one, other) in zip(scores, pairs, strict=True):
            value = str(float(score > 2)) if name == "msrp" else str(score)
            table.append((name, "", split, value, f'{one} "{name} {split}"', other, "en"))
    write_table(tmp_path / "sts_sick_msrp_en.tsv.gz", table)
    write_json(tmp_path / "googlenews_ts.jsonl.gz", clustered(title="{text}", snippet="more {text}", label="{story}"))
    write_json(tmp_path / "uci_news_aggregator_6k.jsonl.gz", clustered(title="{text}", label="s{story}"))
    write_json(tmp_path / "stc_searchsnippets.jsonl.gz", clustered(text="{text}", label="{story}"))
    crises = clustered(text="{text}", related="Related and informative", label="{story}")
    write_json(tmp_path / "crisislex_t26.jsonl.gz", [*crises, {"text": "buy shoes", "related": "Not related", "label": "0"}])
    sentences = [f"{story} in part {part}" for story in STORIES for part in range(5)]
    languages = ["en", "de", "fr", "es", "ru", "pl", "uk", "et"]
    flores = [["split", *languages]]
    flores += [["devtest", *(f"{text} {lang}" for lang in languages)] for text in sentences]
    flores[1][-1] = '"The ""reactor"" leaks."'
    flores[2][-1] = '"Leaks," he said.'
    write_table(tmp_path / "flores101_wide.tsv.gz", flores)
    claims = [
        {"lang": "en", "text": "they say the REACTOR leaks!!", "claim": "The reactor leaks."},
        {"lang": "en", "text": "reactor leaks again", "claim": "the  reactor LEAKS."},
        {"lang": "de", "text": "die Brücke ist zu", "claim": "Die Brücke ist gesperrt."},
        {"lang": "de", "text": "die Brücke ist zu", "claim": "Keiner darf auf die Brücke."},
        {"lang": "de", "text": "no claim here", "claim": ""},
        *({"lang": "fr", "text": f"post numéro {i}", "claim": f"affirmation numéro {i}"} for i in range(12)),
    ]
    write_json(tmp_path / "checkthat2025_t2_claims.jsonl.gz", claims)
    known = [{"kind": "verified_claim", "title": "t", "text": text} for text in (*STORIES, STORIES[0])]
    known.append({"kind": "pair", "text": "did the mayor open a bridge?", "verified_claim": STORIES[1]})
    write_json(tmp_path / "known_lie_snopes.jsonl.gz", known)
    long = " ".join(f"word{i}" for i in range(9 * footprint.ARTICLE_WORDS + 3))
    articles = [
        {"id": "1", "lang": "en", "text": f"Greens plot against cars. {long}", "narratives": ["CC: Hidden plots"]},
        {"id": "2", "lang": "ru", "text": "plots of the greens against us", "narratives": ["CC: Hidden plots", "CC: Unknown"]},
        {"id": "3", "lang": "en", "text": "the west is to blame for the war", "narratives": ["URW: Blame"]},
        {"id": "4", "lang": "ru", "text": "the west started the war", "narratives": ["URW: Blame"]},
        {"id": "5", "lang": "en", "text": "something else", "narratives": ["Other"]},
        {"id": "6", "lang": "en", "text": "not labelled", "narratives": []},
    ]
    write_json(tmp_path / "semeval2025_t10_narratives_en_ru_hi.jsonl.gz", articles)
    taxonomy = [
        {"domain": "CC", "narrative": "Hidden plots", "subnarrative": "Greens", "description": "The greens plot against cars"},
        {"domain": "CC", "narrative": "Hidden plots", "subnarrative": None, "description": "Somebody plots."},
        {"domain": "URW", "narrative": "Blame", "subnarrative": "West", "description": "The west is to blame for the war"},
    ]
    write_json(tmp_path / "semeval2025_t10_taxonomy.jsonl.gz", taxonomy)
    return tmp_path


@pytest.fixture(autouse=True)
def invented_articles(monkeypatch):
    """Three articles of five sentences, as in `folder`."""
    monkeypatch.setattr(sets, "flores_starts", lambda: (0, 5, 10))


def embed(texts):
    return HashedEncoder().encode(texts)


def test_similarity_sets(folder):
    found = sets.load_stsb(folder)
    assert found["en"].first == ["a cat sat test", "a cat sat test", "red car test", "blue sky test"]
    assert found["en-pl"].first == found["en"].first
    assert found["en-pl"].second == ["rain in June", "a cat ran", "red car", "a blue boat"]
    assert found["pl"].first[0] == "a cat sat"
    assert found["pl"].scores.tolist() == [0.0, 2.5, 5.0, 1.0]
    assert len(found) == 21
    parts = sets.load_sts(folder)
    assert {name: len(pairs.first) for name, pairs in parts.items()} == {"sts2012": 4, "sts2013": 4, "sick": 4, "msrp": 4}
    assert parts["sts2012"].first[0] == 'a cat sat "sts2012 test"'


def test_clustering_sets(folder):
    for name in ("googlenews", "uci-news", "searchsnippets", "crisislex"):
        found = sets.load_clusters(folder, name)
        assert found.labels.tolist() == [0, 1, 2] * 3, name
    assert sets.load_clusters(folder, "googlenews").texts[0] == f"{STORIES[0]} say reports 0 more {STORIES[0]} say reports 0"


def test_flores_unquotes_what_was_quoted(folder):
    found = sets.load_flores(folder)
    assert list(found) == ["en", "de", "fr", "es", "ru", "pl", "uk", "et"]
    assert found["et"][:2] == ['The "reactor" leaks.', '"Leaks," he said.']
    assert len(found["en"]) == 15


def test_golden_articles_and_mixed_languages():
    assert sets.article_of([0, 2, 3], 6).tolist() == [0, 0, 1, 2, 2, 2]
    for wrong in ([], [1, 2], [0, 2, 2], [0, 6]):
        with pytest.raises(InputError):
            sets.article_of(wrong, 6)
    sentences = {lang: [f"{lang}{i}" for i in range(15)] for lang in sets.SEVEN_LANGUAGES}
    mixed = sets.mixed_languages(sentences, np.zeros(15, dtype=np.int64))
    assert mixed.texts == [f"{lang}{i}" for i, lang in enumerate(mixed.languages)]
    assert sorted(mixed.languages.count(lang) for lang in sets.SEVEN_LANGUAGES) == [2, 2, 2, 2, 2, 2, 3]
    again = sets.mixed_languages(sentences, np.zeros(15, dtype=np.int64))
    other = sets.mixed_languages(sentences, np.zeros(15, dtype=np.int64), seed=1)
    assert again.texts == mixed.texts != other.texts


def test_packaged_articles_of_flores(monkeypatch):
    monkeypatch.undo()
    starts = sets.flores_starts()
    found = sets.article_of(starts, 1012)
    sizes = np.bincount(found)
    assert len(sizes) == len(starts)
    assert sizes.min() >= 1
    assert 3 <= sizes.mean() <= 4


def test_claims_join_spellings_and_keep_every_answer(folder):
    found = sets.load_claims(folder)
    assert found.candidates[:3] == ["The reactor leaks.", "Die Brücke ist gesperrt.", "Keiner darf auf die Brücke."]
    assert found.queries[:3] == ["they say the REACTOR leaks!!", "reactor leaks again", "die Brücke ist zu"]
    assert found.gold[:3] == [(0,), (0,), (1, 2)]
    assert found.languages[:3] == ["en", "en", "de"]
    assert len(found.queries) == 15


def test_halves_share_no_claim_and_no_post(folder):
    whole = sets.load_claims(folder)
    train, held_out = sets.checkthat_halves(whole)
    assert not set(train.candidates) & set(held_out.candidates)
    assert not set(train.queries) & set(held_out.queries)
    assert sorted(train.candidates + held_out.candidates) == sorted(whole.candidates)
    assert sorted(train.queries + held_out.queries) == sorted(whole.queries)
    answers = {text: {whole.candidates[place] for place in right} for text, right in zip(whole.queries, whole.gold, strict=True)}
    for half in (train, held_out):
        assert half.queries
        for text, right in zip(half.queries, half.gold, strict=True):
            assert {half.candidates[place] for place in right} == answers[text]
    # The half is that of the least claim in the joined group: by hand, SHA-256 of the folded spelling.
    for claim in ("the reactor leaks.", "die brücke ist gesperrt.", "affirmation numéro 7"):
        odd = hashlib.sha256(claim.encode()).digest()[0] % 2 == 1
        assert any(sets._normal(candidate) == claim for candidate in (held_out if odd else train).candidates)


def test_halves_do_not_depend_on_the_order_of_rows(folder):
    whole = sets.load_claims(folder)
    backwards = sets.Search(whole.queries[::-1], whole.candidates[::-1], [], whole.languages[::-1])
    last = len(whole.candidates) - 1
    backwards = sets.Search(
        backwards.queries, backwards.candidates, [tuple(last - place for place in right) for right in whole.gold[::-1]], backwards.languages
    )
    for one, other in zip(sets.checkthat_halves(whole), sets.checkthat_halves(backwards), strict=True):
        assert set(one.candidates) == set(other.candidates)
        assert set(one.queries) == set(other.queries)


def test_snopes_and_narratives(folder):
    found = sets.load_snopes(folder)
    assert found.candidates == list(STORIES)
    assert found.gold == [(1,)]
    narratives = sets.load_narratives(folder)
    assert narratives.languages == ["en", "ru", "en", "ru"]
    assert narratives.labels[1] == frozenset({"CC: Hidden plots"})
    assert narratives.without_label == 1
    assert narratives.prototypes[0] == "Hidden plots. Greens. The greens plot against cars"
    assert narratives.owners == ["CC: Hidden plots", "CC: Hidden plots", "URW: Blame"]
    write_json(folder / "known_lie_snopes.jsonl.gz", [{"kind": "pair", "text": "x", "verified_claim": "unknown"}])
    with pytest.raises(SchemaError, match="1 tweets"):
        sets.load_snopes(folder)


def test_files_that_cannot_be_used(folder):
    with pytest.raises(InputError, match="set 'nothing'"):
        sets.source("nothing")
    write_json(folder / "googlenews_ts.jsonl.gz", [{"title": "a", "label": 1}])
    with pytest.raises(SchemaError, match=r"row 1 .* without snippet"):
        sets.load_clusters(folder, "googlenews")
    write_json(folder / "googlenews_ts.jsonl.gz", [])
    with pytest.raises(SchemaError, match="no rows"):
        sets.load_clusters(folder, "googlenews")
    (folder / "googlenews_ts.jsonl.gz").write_bytes(b"not gzip")
    with pytest.raises(InputError, match="cannot be read"):
        sets.load_clusters(folder, "googlenews")
    (folder / "googlenews_ts.jsonl.gz").unlink()
    with pytest.raises(InputError, match="no file"):
        sets.load_clusters(folder, "googlenews")
    write_table(folder / "sts_sick_msrp_en.tsv.gz", [["set", "sub", "split", "score", "s1", "s2"], ["sick", "x"]])
    with pytest.raises(SchemaError, match="line 2 with 2 fields"):
        sets.load_sts(folder)


def figures_of(name, folder, **settings):
    return {figure.name: figure.value for figure in tasks.measure(name, folder, embed, **settings)}


@pytest.mark.parametrize("name", sets.SOURCES)
def test_every_set_is_measured_in_one_call(name, folder):
    calls = []

    def counted(texts):
        calls.append(len(texts))
        return embed(texts)

    found = tasks.measure(name, folder, counted)
    assert len(calls) == 1
    assert len({figure.name for figure in found}) == len(found)
    assert all(np.isfinite(figure.value) and -1 <= figure.value <= 1.001 for figure in found)
    assert [figure.name for figure in found if not figure.detail]


def test_golden_figures(folder):
    # Equal stories share nearly all words, so every measure of clusters is perfect.
    for name in ("googlenews", "uci-news"):
        found = figures_of(name, folder)
        assert found["pair AP"] == pytest.approx(1)
        assert found["AMI k-means"] == pytest.approx(1)
        assert found["AMI linkage, best cut"] == pytest.approx(1)
        assert "AMI k-means" not in figures_of(name, folder, clustering=False)
    found = figures_of("snopes", folder)
    assert found["MRR"] == found["recall@1"] == 1
    found = figures_of("semeval2025", folder)
    assert found["MRR"] == 1
    # Each document has one other in its language, of the other narrative, and one in the other language that shares its own.
    assert found["nearest in its language shares a narrative"] == 0
    assert found["nearest in another language shares a narrative"] == 1
    assert found["nearest in another language shares a narrative, by chance"] == pytest.approx(0.5)


def test_golden_flores_directions(folder):
    # An oracle that knows the sentence but, in Estonian, takes sentence 0 for all: et finds 1 of 15, and nothing finds et alone.
    places = {text: i for texts in sets.load_flores(folder).values() for i, text in enumerate(texts)}
    estonian = set(sets.load_flores(folder)["et"])

    def knowing(texts):
        out = np.zeros((len(texts), 15), dtype=np.float32)
        for row, text in enumerate(texts):
            out[row, 0 if text in estonian else places[text]] = 1
        return out

    found = {figure.name: figure.value for figure in tasks.measure("flores", folder, knowing)}
    assert found["accuracy@1 en~de"] == found["accuracy@1 ru~uk"] == 1
    assert found["accuracy@1 et->en"] == pytest.approx(1 / 15)
    # All Estonian rows tie, and ties do not help.
    assert found["accuracy@1 en->et"] == 0
    assert found["accuracy@1, mean of all languages"] == pytest.approx((6 * 2 + 1 / 15) / 14)


def test_golden_mixed_languages_and_their_bias(folder):
    articles = {text: i // 5 for texts in sets.load_flores(folder).values() for i, text in enumerate(texts)}

    def by_article(texts):
        return np.eye(3, dtype=np.float32)[[articles[text] for text in texts]]

    found = {figure.name: figure.value for figure in tasks.measure("mixed", folder, by_article)}
    assert found["AMI of 7 languages"] == pytest.approx(1)
    assert found["AMI, 7 languages / English"] == pytest.approx(1)
    # 15 texts of 7 languages: six have two texts, one has three. Chance is (12 * 1 + 3 * 2) / 15 / 14.
    assert found["own language among 10 nearest, by chance"] == pytest.approx(18 / 15 / 14)


def test_narrative_rank_takes_the_best_prototype_and_ties_do_not_help():
    documents = np.eye(3, dtype=np.float32)
    prototypes = np.array([[0.6, 0, 0], [0.9, 0, 0], [0.7, 0.5, 0.5], [0, 0.5, 0.5]], dtype=np.float32)
    owners = ["a", "b", "a", "c"]
    # Document 0: a .7, b .9, c 0. Documents 1 and 2: a .5, b 0, c .5.
    found = tasks._narrative_ranks(documents, prototypes, [(0, 2), (3,), (0, 1, 2, 3)], owners)
    assert found.tolist() == [2, 2, 1]


def test_quick_thins(folder, monkeypatch):
    monkeypatch.setattr(tasks, "QUICK_ROWS", 4)
    sizes = {}

    def counted(texts):
        sizes["texts"] = len(texts)
        return embed(texts)

    tasks.measure("uci-news", folder, counted, quick=True)
    assert sizes["texts"] == 3
    tasks.measure("checkthat", folder, counted, quick=True)
    assert sizes["texts"] <= 4 + 5


def test_tfidf_svd():
    texts = ["bank raid in Kyiv", "raid on a bank", "sunny day today", "", "sunny Kyiv"]
    rows = rivals.tfidf_svd(texts)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), [1, 1, 1, 0, 1], atol=1e-5)
    assert rows[0] @ rows[1] > rows[0] @ rows[2]
    assert rivals.tfidf_svd(texts).tobytes() == rows.tobytes()
    for few in (["", " "], ["one", "one"]):
        with pytest.raises(InputError):
            rivals.tfidf_svd(few)


def test_rivals_by_name(tmp_path):
    hashed = rivals.open_rival("hashed", cache=tmp_path)
    assert hashed.fingerprint == HashedEncoder().fingerprint
    rows = hashed.embed(["power cut", "power cut"])
    # `embed_texts` rounds to float16, as a run does.
    np.testing.assert_allclose(rows[0], embed(["power cut"])[0], atol=1e-3)
    assert list(tmp_path.rglob("part-*.npz"))
    assert rivals.is_batch("tfidf-svd")
    assert not rivals.is_batch("hashed")
    with pytest.raises(EncoderError, match="no folder"):
        rivals.open_rival("./nowhere")


def test_lexical_rivals_add_words_of_the_batch():
    texts = [f"{story} say reports {i}" for i, story in enumerate(STORIES * 3)]
    alone = rivals.open_rival("hashed").embed(texts)
    # Fewer texts than the rule wants to see: it leaves the channel out; switched on, both sides count alike.
    assert rivals.open_rival("hashed+lexical").embed(texts).tobytes() == alone.tobytes()
    joined = rivals.open_rival("hashed+lexical-on").embed(texts)
    assert joined.shape[1] > alone.shape[1]
    np.testing.assert_allclose(joined[:, : alone.shape[1]], alone * np.sqrt(0.5), atol=1e-6)
    assert rivals.is_batch("hashed+lexical")
    assert len({rivals.open_rival(f"hashed{ending}").fingerprint for ending in ("", "+lexical", "+lexical-on")}) == 3


def test_model2vec_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "model2vec", None)
    with pytest.raises(EncoderError, match=r"pip install 'model2vec\[distill\]'"):
        rivals.open_rival("model2vec:some/teacher")


def test_model2vec_that_is_there(monkeypatch):
    import types

    module = types.ModuleType("model2vec.distill")
    module.distill = lambda model_name: types.SimpleNamespace(
        encode=lambda texts: np.array([[3.0, 4.0] if text else [0.0, 0.0] for text in texts])
    )
    monkeypatch.setitem(sys.modules, "model2vec", types.ModuleType("model2vec"))
    monkeypatch.setitem(sys.modules, "model2vec.distill", module)
    np.testing.assert_allclose(rivals.open_rival("model2vec:x").embed(["a", ""]), [[0.6, 0.8], [0, 0]], atol=1e-6)


def test_table_and_json(folder, capsys):
    arguments = ["--data", str(folder), "-e", "hashed", "-e", "tfidf-svd", "--set", "uci-news", "--set", "snopes"]
    assert encoders.main(arguments) == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert lines[0].split() == ["|", "set", "|", "figure", "|", "hashed", "|", "tfidf-svd", "|"]
    assert any(line.startswith("| uci-news | pair AP") and line.count("1.000") == 2 for line in lines)
    digest = hashlib.sha256((folder / "uci_news_aggregator_6k.jsonl.gz").read_bytes()).hexdigest()
    assert f"uci_news_aggregator_6k.jsonl.gz sha256 {digest[:16]}" in lines
    assert len({len(line) for line in lines if line.startswith("|")}) == 1
    assert "hashed on snopes" in shown.err
    assert encoders.main([*arguments, "--json", "--quick"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["encoder"], row["set"]) for row in rows] == [
        (encoder, name) for encoder in ("hashed", "tfidf-svd") for name in ("uci-news", "snopes")
    ]
    assert rows[0]["sha256"] == {"uci_news_aggregator_6k.jsonl.gz": digest}
    assert rows[0]["quick"] is True
    assert rows[0]["figures"]["pair AP"] == pytest.approx(1)
    assert "AMI k-means" in rows[0]["figures"]
    assert encoders.main([*arguments, "--json", "--no-clustering"]) == 0
    assert "AMI k-means" not in json.loads(capsys.readouterr().out.splitlines()[0])["figures"]


def test_absent_sets_are_named(folder, capsys):
    (folder / "known_lie_snopes.jsonl.gz").unlink()
    assert encoders.main(["--data", str(folder), "-e", "hashed", "--set", "snopes", "--set", "uci-news"]) == 0
    assert "skipped snopes: no known_lie_snopes.jsonl.gz" in capsys.readouterr().out
    assert encoders.main(["--data", str(folder), "-e", "hashed", "--set", "snopes"]) == 2
    assert "none of snopes" in capsys.readouterr().err
    assert encoders.main(["--data", str(folder / "none"), "-e", "hashed"]) == 2
    assert encoders.main(["--data", str(folder), "--set", "nothing"]) == 2
    assert "set 'nothing'" in capsys.readouterr().err


def test_json_lines_come_as_they_are_measured(folder, monkeypatch, capsys):
    # The second encoder breaks off: what the first gave must stand already.
    def break_off(texts):
        raise EncoderError("invented")

    plain = encoders.open_rival
    monkeypatch.setattr(
        encoders, "open_rival", lambda name, **given: plain(name) if name == "hashed" else rivals.Rival(name, break_off, "none")
    )
    assert encoders.main(["--data", str(folder), "--set", "snopes", "-e", "hashed", "-e", "broken", "--json"]) == 2
    assert [json.loads(line)["encoder"] for line in capsys.readouterr().out.splitlines()] == ["hashed"]


def test_data_folder_from_the_environment(folder, monkeypatch, capsys):
    monkeypatch.delenv(encoders.DATA_VARIABLE, raising=False)
    assert encoders.main(["-e", "hashed", "--set", "uci-news"]) == 2
    assert "--data" in capsys.readouterr().err
    monkeypatch.setenv(encoders.DATA_VARIABLE, str(folder))
    assert encoders.main(["-e", "hashed", "--set", "uci-news"]) == 0


def test_speed_texts_have_their_lengths(folder, monkeypatch):
    found = footprint.speed_texts(folder)
    assert all(footprint.SHORTEST <= len(footprint._PIECES.findall(text)) <= footprint.LONGEST for text in found.short)
    assert len(found.short) == len(set(found.short)) > 0
    assert [len(text.split()) for text in found.articles] == [footprint.ARTICLE_WORDS] * 9
    (folder / "semeval2025_t10_taxonomy.jsonl.gz").unlink()
    with pytest.raises(InputError, match="0 articles"):
        footprint.speed_texts(folder)
    assert encoders._present(folder, ["uci-news", "speed"])[1][0].set == "speed"


def test_footprint_in_processes_of_their_own(folder, monkeypatch):
    monkeypatch.setattr(footprint, "STARTS", 1)
    found = footprint.footprint("hashed", footprint.speed_texts(folder))
    assert found.short_rate > found.article_rate > 0
    assert 0 < found.cold_start < 60
    # Python and numpy alone take more than 20 MiB; a parent's memory does not count.
    assert 20 < found.start_mib < 400
    assert found.loads_torch is False
    batch = footprint.footprint("tfidf-svd", footprint.speed_texts(folder), batch=True)
    assert batch.cold_start is None
    assert batch.run_mib > 20
    assert [figure.name for figure in encoders.speed_figures(batch)] == ["short texts/s", "articles/s", "peak MiB while encoding"]
    with pytest.raises(EncoderError, match="failed in a process of its own"):
        footprint.footprint("./nowhere", footprint.speed_texts(folder))


def test_every_pass_has_texts_of_its_own(monkeypatch):
    calls = []
    seconds = iter([1.0, 2.0, 1.0, 4.0])

    def timed(encode, texts):
        calls.append(list(texts))
        return next(seconds)

    monkeypatch.setattr(footprint, "_seconds", timed)
    texts = [f"text {i}" for i in range(300)]
    # 64 texts take a second on trial, so a pass of 1.5 seconds has 96 of its 100; the best is 96 in one second.
    assert footprint.rate(lambda texts: None, texts) == 96
    assert [len(call) for call in calls] == [64, 96, 96, 96]
    assert len({text for call in calls[1:] for text in call}) == 3 * 96


def test_peak_is_of_this_process_alone():
    # A child of a process that holds 300 MiB must not report them as its own.
    held = bytearray(300 << 20)
    code = "import json; from greyzone.eval.memory import peak_bytes; print(json.dumps({'bytes': peak_bytes()}))"
    found = footprint._child(code, "none", "")
    assert len(held) > found["bytes"]


GATED = {"uci-news": {"hashed": ("pair AP",)}, "snopes": {"hashed": ("MRR", "recall@1")}}


@pytest.fixture
def floors(folder, monkeypatch):
    """A file of floors just under what is reached, with the files pinned."""
    monkeypatch.setattr(gate, "GATED", GATED)
    path = folder / "floors.json"
    path.write_text("{}", "utf-8")
    assert gate.main(["--data", str(folder), "--floors", str(path), "--update"]) == 0
    return path


def run_gate(folder, floors, *more):
    return gate.main(["--data", str(folder), "--floors", str(floors), *more])


def change_floor(floors, figure, value, name="snopes"):
    content = json.loads(floors.read_text("utf-8"))
    content[name]["floors"]["hashed"][figure] = value
    floors.write_text(json.dumps(content), "utf-8")


def test_gate_passes_and_pins_what_it_measured(folder, floors, capsys):
    kept = json.loads(floors.read_text("utf-8"))
    assert kept["snopes"]["floors"] == {"hashed": {"MRR": 0.995, "recall@1": 0.995}}
    assert kept["snopes"]["sha256"] == sets.digests(folder, "snopes")
    capsys.readouterr()
    assert run_gate(folder, floors) == 0
    assert "3 figures on 2 sets, 0 under their floor" in capsys.readouterr().out


def test_gate_fails_and_names_the_figure(folder, floors, capsys):
    change_floor(floors, "MRR", 1.001)
    capsys.readouterr()
    assert run_gate(folder, floors) == 1
    assert "UNDER snopes: MRR, hashed 1.0000, floor 1.001" in capsys.readouterr().out
    assert run_gate(folder, floors, "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert found["passed"] is False
    assert [check["figure"] for check in found["checks"] if not check["passed"]] == ["MRR"]


def test_gate_fails_on_a_figure_that_is_gone(folder, floors, capsys):
    change_floor(floors, "no such figure", 0.5)
    assert run_gate(folder, floors) == 1
    assert "no such figure, hashed absent" in capsys.readouterr().out


def test_gate_says_what_it_did_not_compare(folder, floors, capsys):
    (folder / "uci_news_aggregator_6k.jsonl.gz").unlink()
    write_json(folder / "known_lie_snopes.jsonl.gz", [{"kind": "verified_claim", "text": "other"}])
    capsys.readouterr()
    assert run_gate(folder, floors) == 2
    told = capsys.readouterr().err
    assert "uci-news: absent" in told
    assert "snopes: other files" in told
    write_json(folder / "uci_news_aggregator_6k.jsonl.gz", clustered(title="{text}", label="s{story}"))
    run_gate(folder, floors)
    assert "not compared: snopes, other files than its floors were measured on (known_lie_snopes.jsonl.gz is" in capsys.readouterr().out


def test_update_raises_but_never_lowers(folder, floors, capsys):
    change_floor(floors, "recall@1", 0.2)
    change_floor(floors, "MRR", 0.9999)
    assert run_gate(folder, floors, "--update") == 0
    kept = json.loads(floors.read_text("utf-8"))["snopes"]["floors"]["hashed"]
    # Raised to the measured value less the margin; what is above that and still reached stays.
    assert kept == {"MRR": 0.9999, "recall@1": 0.995}
    change_floor(floors, "MRR", 1.1)
    before = floors.read_text("utf-8")
    assert run_gate(folder, floors, "--update") == 2
    assert "MRR of hashed on snopes" in capsys.readouterr().err
    assert floors.read_text("utf-8") == before
    assert run_gate(folder, floors, "--update", "--allow-lower") == 0
    assert json.loads(floors.read_text("utf-8"))["snopes"]["floors"]["hashed"]["MRR"] == 0.995


def test_update_takes_other_files_only_if_told(folder, floors):
    pinned = json.loads(floors.read_text("utf-8"))["snopes"]["sha256"]
    known = [{"kind": "verified_claim", "text": text} for text in STORIES]
    write_json(folder / "known_lie_snopes.jsonl.gz", [*known, {"kind": "pair", "text": "a bridge", "verified_claim": STORIES[1]}])
    assert run_gate(folder, floors, "--update") == 0
    assert json.loads(floors.read_text("utf-8"))["snopes"]["sha256"] == pinned
    assert run_gate(folder, floors, "--update", "--allow-lower") == 0
    assert json.loads(floors.read_text("utf-8"))["snopes"]["sha256"] == sets.digests(folder, "snopes") != pinned


def test_golden_proposed_floors():
    assert gate.proposed_floor("pair AP", 0.7899) == 0.784
    assert gate.proposed_floor("AMI of 7 languages", 0.35) == 0.33
    assert gate.proposed_floor("MRR", 0.001) == 0.0


def test_floors_that_cannot_be_read(tmp_path):
    for content in ("[]", "{", '{"stsb": {}}', '{"stsb": {"sha256": {}, "floors": {"default": {"x": "high"}}}}'):
        path = tmp_path / "floors.json"
        path.write_text(content, "utf-8")
        with pytest.raises(InputError, match="cannot be used"):
            gate.read_floors(path)
    with pytest.raises(InputError, match="cannot be used"):
        gate.read_floors(tmp_path / "none.json")


def test_packaged_floors_are_of_gated_figures():
    kept = gate.read_floors()
    assert set(kept.floors) <= set(gate.GATED)
    for name, entry in kept.floors.items():
        assert set(kept.sha256[name]) == set(sets.source(name).files)
        for encoder, found in entry.items():
            assert set(found) <= set(gate.GATED[name][encoder])
            assert all(0 <= floor <= 1 for floor in found.values())
