"""The acts on what the corpus tells: narratives and the groups that carry them."""

from __future__ import annotations

from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from greyzone import collapse, coordinate, embed, growth, lineage, narratives
from greyzone.acts.work import STATE, Work, counts, past_of
from greyzone.case import Case, fingerprint
from greyzone.cluster import NarrativeClusterer
from greyzone.records import Floats


def do_narratives(work: Work) -> dict[str, object]:
    """Cluster and describe."""
    # A model that writes nothing is told before the work, not after it.
    labeller = work.labeller()
    # What is read for the clusters is let go before the documents come in whole.
    vectors, found = _clusters(work)
    documents, copies = work.case.table("documents"), work.case.table("copies")
    result = narratives.describe_narratives(
        documents,
        copies,
        vectors,
        found.labels,
        found.probabilities,
        doctrine=work.doctrine,
        hierarchy=found.hierarchy,
        leaders=found.leaders,
        workers=work.workers,
        labeller=labeller,
    )
    members, past, number = past_of(work.case, "narratives", "members", ("doc_id", "narrative_id"), "lineage")
    traced = lineage.trace(members, result.members, update=number)
    events = pa.concat_tables([past, traced.events])
    result = lineage.renamed(result, traced.ids, lineage.parents(events))
    work.case.write_table("narratives", result.narratives)
    work.case.write_table("members", result.members)
    work.case.write_table("lineage", events)
    work.case.write_vectors("narrative_vectors", result.narratives["narrative_id"].to_pylist(), result.vectors)
    work.case.write_file(STATE, found.state.write)
    noise = pc.sum(pc.is_null(result.members["narrative_id"])).as_py() or 0
    return {
        "narratives": result.narratives.num_rows,
        "noise": noise,
        "clusterer": NarrativeClusterer(min_cluster_size=work.settings.min_cluster_size).get_params(),
        "languages": found.neutral.choice_.as_dict(),
        "lexical": found.space.choice.as_dict(),
        "update": number,
        "joined": found.joined,
        "lineage": counts(traced.events, "event"),
    }


def _clusters(work: Work) -> tuple[Floats, growth.Grown]:
    """Return the encoder's rows of the distinct texts, and their clusters.

    Clusters use what the corpus says of its words; centroids stay in the encoder's own space, where incidents are too.
    """
    corpus = _corpus(work.case)
    # Arrow keeps what the tables took, which the fit can use.
    pa.default_memory_pool().release_unused()
    found = growth.grow(
        corpus,
        growth.State.read(work.case.path / STATE) if work.case.whole("narratives", STATE) else None,
        make=partial(NarrativeClusterer, min_cluster_size=work.settings.min_cluster_size),
        restore=NarrativeClusterer.from_arrays,
        mode=work.settings.lexical,
        basis=fingerprint(work.settings.min_cluster_size, work.settings.lexical, work.encoder.fingerprint),
    )
    return corpus.vectors, found


def _corpus(case: Case) -> growth.Corpus:
    """Return the distinct texts of a case; of the tables nothing else is held while they are clustered."""
    documents, copies = case.table("documents", ("doc_id", "title", "text", "lang")), case.table("copies", ("doc_id", "representative"))
    distinct = collapse.representatives(documents, copies)
    return growth.Corpus(
        distinct["doc_id"].combine_chunks(),
        embed.document_texts(distinct["title"], distinct["text"]),
        distinct["lang"].to_pylist(),
        case.vectors("embeddings")[1],
        collapse.weights(documents, copies),
        copies,
    )


def do_coordinate(work: Work) -> dict[str, object]:
    """Find groups of accounts."""
    documents, copies, members = (work.case.table(name) for name in ("documents", "copies", "members"))
    paraphrases = coordinate.find_paraphrases(
        documents, copies, *work.case.vectors("embeddings"), doctrine=work.doctrine, device=work.settings.device
    )
    found = coordinate.find_groups(
        documents, copies, doctrine=work.doctrine, members=members, paraphrases=paraphrases, seed=work.settings.seed
    )
    groups, past, number = past_of(work.case, "coordinate", "groups", ("group_id", "accounts"), "group_lineage")
    kept = coordinate.keep_ids(groups, found, doctrine=work.doctrine, update=number)
    found = kept.coordination
    tracks = coordinate.follow(found.groups, documents, members, doctrine=work.doctrine)
    for name in ("groups", "group_members", "edges", "traces"):
        work.case.write_table(name, getattr(found, name))
    work.case.write_table("accounts", coordinate.account_chances(found.edges, found.traces))
    work.case.write_table("carriers", coordinate.find_carriers(found.groups, documents, members))
    work.case.write_table("group_windows", tracks.windows)
    work.case.write_table("group_reuse", tracks.reuse)
    work.case.write_table("group_lineage", pa.concat_tables([past, kept.events]))
    return {
        "groups": found.groups.num_rows,
        "flagged": int(np.sum(coordinate.flagged(found.groups).to_numpy(zero_copy_only=False))),
        "paraphrases": paraphrases.note,
        "update": number,
        "lineage": counts(kept.events, "event"),
    }
