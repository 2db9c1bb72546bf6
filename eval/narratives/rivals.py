"""What `NarrativeClusterer` is compared with, by name: each a function from unit rows to one label a document, -1 for noise.

``greyzone``             our estimator as a run has it; each level of its hierarchy is measured, where it has one.
``greyzone-density``     our estimator made HDBSCAN: its neighbour graph and spanning tree, nothing collapsed, asked or attached.
``hdbscan-cosine``       hdbscan on the exact cosine distances of all pairs, which the line above is to come near.
``hdbscan``              hdbscan with its defaults, Euclidean on unit rows (order-equivalent to cosine).
``kmeans``               scikit-learn's k-means at the true number of narratives: it knows what no user knows, and no noise.
``average-link``         average linkage on cosine distance at the best height by the truth: an oracle, not a method.
``average-link-fixed``   the same, cut at one height for all sets (`HEIGHT`, as good as any over the labelled ones).
``umap-hdbscan``         UMAP to 5 dimensions, then HDBSCAN of 10 and more, as BERTopic's constructor sets them (`UMAP`, `HDBSCAN`).
``bertopic``             what `bertopic.BERTopic()` really holds: the same, for who would rather see it than believe it.
``evoc``                 EVoC with its defaults.
``fast-hdbscan``         fast_hdbscan with its defaults on 20 principal components: its trees are for few dimensions.

Apart from scikit-learn and hdbscan none comes with greyzone, and they are imported only when they are asked for: they belong in an
environment of their own (docs/method/evaluation.md), since their pins on numba break with new releases.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt

from greyzone.errors import InputError
from greyzone.eval.encoders.clustering import pair_distances
from greyzone.eval.narratives.grouping import Ints, Truth, b_cubed
from greyzone.records import Floats

UMAP = {"n_neighbors": 15, "n_components": 5, "min_dist": 0.0, "metric": "cosine", "low_memory": False}
HDBSCAN = {"min_cluster_size": 10, "metric": "euclidean", "cluster_selection_method": "eom", "prediction_data": True}
"""What the constructor of BERTopic 0.17 passes to UMAP and to HDBSCAN."""

COMPONENTS = 20
"""Principal components that fast_hdbscan gets."""

HEIGHTS = np.round(np.arange(0.1, 1.0, 0.025), 3)
"""Cosine distances at which the oracle of average linkage cuts."""

HEIGHT = 0.65
"""Cosine distance at which average linkage is cut where the truth of a set may not choose it. Over uci-news, googlenews, checkthat,
semeval2025 and searchsnippets with the embedded encoder the mean B-cubed F1 is .538 at .6, .545 at .65, .546 at .7 and .528 at .75;
the three sets of stories alone have .734, .728, .698 and .637. So this rival too has seen the truth, once for all."""

LINKAGE_LIMIT = 12_500
"""Documents up to which what needs the distances of all pairs is run: beyond, they take more than 0.6 GB, twice that as a square."""

EXACT_LIMIT = 25_000
"""Documents up to which hdbscan is run: in as many dimensions its trees save nothing, and time grows with the square."""

WARM_ROWS = 300
"""Rows that a compiled rival is run on before the clock starts, so that compiling is not counted."""


@dataclass(frozen=True, slots=True)
class Task:
    """Unit rows (n, d) float32, their truth (for oracles alone), and a seed, or None for what the library does without one."""

    rows: Floats
    truth: Truth
    seed: int | None = None


Run = Callable[[Task], Ints]
"""A task to labels: (n,) or (n, levels) int64."""


@dataclass(frozen=True, slots=True)
class Method:
    """A way to group rows.

    `needs` are the modules that it imports, as pip calls them; `seeded` whether a seed changes its result; `warm` whether it compiles
    at first use; `limit` how many documents it is run on at most; `levels` names the columns of its labels where it has several.
    """

    run: Run
    needs: tuple[str, ...]
    seeded: bool = False
    warm: bool = False
    limit: int | None = None
    levels: tuple[str, ...] = ()


def greyzone(task: Task) -> Ints:
    """Return the labels of our estimator with its defaults; columns story, narrative and theme where it has them."""
    from greyzone.cluster import NarrativeClusterer

    fitted = NarrativeClusterer().fit(task.rows)
    return np.asarray(getattr(fitted, "hierarchy_", fitted.labels_), dtype=np.int64)


def greyzone_density(task: Task) -> Ints:
    """Return the labels of our estimator as HDBSCAN alone; of its samples one more than hdbscan's default is the row itself."""
    from greyzone.cluster import NarrativeClusterer

    plain = NarrativeClusterer(linkage="density", min_samples=6, closure=0.0, cohesion=-1.0, contrast=-1.0, attach=1.0, duplicates=1.0)
    return _labels(plain.fit(task.rows).labels_)


def hdbscan_cosine(task: Task) -> Ints:
    """Return the labels of hdbscan with its defaults on the cosine distances of all pairs."""
    rows = task.rows.astype(np.float64)
    distance = np.clip(1.0 - rows @ rows.T, 0.0, 2.0)
    np.fill_diagonal(distance, 0.0)
    return _labels(importlib.import_module("hdbscan").HDBSCAN(metric="precomputed").fit_predict(distance))


def hdbscan(task: Task) -> Ints:
    """Return the labels of hdbscan with its defaults."""
    return _labels(importlib.import_module("hdbscan").HDBSCAN().fit_predict(task.rows))


def kmeans(task: Task) -> Ints:
    """Return one run of k-means at the true number of narratives."""
    from sklearn.cluster import KMeans

    count = task.truth.shape[1] if task.truth.ndim == 2 else len(np.unique(task.truth[task.truth >= 0]))
    return _labels(KMeans(max(1, min(count, len(task.rows))), n_init=1, random_state=task.seed or 0).fit_predict(task.rows))


def average_link(task: Task) -> Ints:
    """Return the cut of average linkage whose B-cubed F1 is highest; clusters of one are noise."""
    tree = _linkage(task.rows)
    cuts = [_cut(tree, float(height)) for height in HEIGHTS]
    return max(cuts, key=lambda found: b_cubed(task.truth, found).f1)


def average_link_fixed(task: Task) -> Ints:
    """Return the cut of average linkage at `HEIGHT`."""
    return _cut(_linkage(task.rows), HEIGHT)


def umap_hdbscan(task: Task) -> Ints:
    """Return the labels of UMAP and HDBSCAN as BERTopic sets them; with a seed UMAP runs on one thread."""
    low = importlib.import_module("umap").UMAP(**UMAP, random_state=task.seed).fit_transform(task.rows)
    return _labels(importlib.import_module("hdbscan").HDBSCAN(**HDBSCAN).fit_predict(low))


def bertopic(task: Task) -> Ints:
    """Return the labels of the two models that BERTopic's constructor makes."""
    model = importlib.import_module("bertopic").BERTopic()
    model.umap_model.random_state = task.seed
    return _labels(model.hdbscan_model.fit_predict(model.umap_model.fit_transform(task.rows)))


def evoc(task: Task) -> Ints:
    """Return the labels of EVoC with its defaults."""
    return _labels(importlib.import_module("evoc").EVoC(random_state=task.seed).fit_predict(task.rows))


def fast_hdbscan(task: Task) -> Ints:
    """Return the labels of fast_hdbscan with its defaults on `COMPONENTS` principal components."""
    from sklearn.decomposition import PCA

    low = PCA(min(COMPONENTS, *task.rows.shape), random_state=0).fit_transform(task.rows)
    return _labels(importlib.import_module("fast_hdbscan").HDBSCAN().fit_predict(np.ascontiguousarray(low)))


OURS = "greyzone"
LEVELS = ("story", "narrative", "theme")

METHODS: dict[str, Method] = {
    OURS: Method(greyzone, (), levels=LEVELS),
    "greyzone-density": Method(greyzone_density, ()),
    "hdbscan-cosine": Method(hdbscan_cosine, ("hdbscan",), limit=LINKAGE_LIMIT),
    "hdbscan": Method(hdbscan, ("hdbscan",), limit=EXACT_LIMIT),
    "kmeans": Method(kmeans, ("scikit-learn",), seeded=True),
    "average-link": Method(average_link, ("scipy",), limit=LINKAGE_LIMIT),
    "average-link-fixed": Method(average_link_fixed, ("scipy",), limit=LINKAGE_LIMIT),
    "umap-hdbscan": Method(umap_hdbscan, ("umap-learn", "hdbscan"), seeded=True, warm=True),
    "bertopic": Method(bertopic, ("bertopic", "umap-learn", "hdbscan"), seeded=True, warm=True),
    "evoc": Method(evoc, ("evoc",), seeded=True, warm=True),
    "fast-hdbscan": Method(fast_hdbscan, ("fast_hdbscan",), warm=True),
}
"""Every method by name, ours first."""

_MODULES = {"umap-learn": "umap", "scikit-learn": "sklearn"}


def method(name: str) -> Method:
    """Return a method by name.

    Raises
    ------
    InputError
        If there is none, or what it needs is not installed.
    """
    if name not in METHODS:
        raise InputError(f"method {name!r}", f"one of {', '.join(METHODS)}")
    found = METHODS[name]
    absent = [package for package in found.needs if find_spec(_MODULES.get(package, package)) is None]
    if absent:
        raise InputError(
            f"{name} without {' and '.join(absent)}",
            "it in this environment",
            f"in an environment of its own: pip install {' '.join(absent)}; docs/method/evaluation.md says how",
        )
    return found


def versions(name: str) -> dict[str, str]:
    """Return the versions of what a method is made of, by package."""
    return {package: metadata.version(package) for package in METHODS[name].needs or ("greyzone",)}


def _labels(found: npt.ArrayLike) -> Ints:
    return np.asarray(found, dtype=np.int64)


def _linkage(rows: Floats) -> npt.NDArray[np.float64]:
    """Return scipy's average linkage over the cosine distances of all pairs."""
    from scipy.cluster.hierarchy import linkage

    return linkage(pair_distances(rows), "average")


def _cut(tree: npt.NDArray[np.float64], height: float) -> Ints:
    """Return the clusters below `height`; a cluster of one is noise, as it is for every method that has noise."""
    from scipy.cluster.hierarchy import fcluster

    found = fcluster(tree, height, "distance").astype(np.int64)
    return np.where(np.bincount(found)[found] > 1, found, -1)
