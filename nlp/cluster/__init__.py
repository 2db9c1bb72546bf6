"""Documents' vectors to narratives: near-duplicates, neighbour graph, a hierarchy by average likeness, and where to cut it.

1. Rows at cosine >= `duplicates` follow a leader (no chains). Copies make dense cores of their own that tear narratives apart.
2. The `n_neighbors` nearest leaders of each leader: exact for few rows, through inverted lists for many (`graph`).
3. Average linkage on that graph (`linkage`), down to a mean cosine of `FLOOR`. Density alone, which HDBSCAN goes by, splits a
   story into its wordings and chains stories that share them; the mean cosine of all pairs does neither.
4. hdbscan's condensed tree of these merges, sizes counting documents, and clusters by excess of mass or the leaves (`hierarchy`).
   A document at mean cosine s lies at 1 / (1 + s), so that mass is counted in likeness, not in the inverse of a distance, which would
   give all weight to near-copies. A cluster must be closed, cohesive and contrasted; where it is not, its parts are asked. What joined
   a cluster at less than the likeness that is asked of it on average is left out again, and so is a member of whose neighbours'
   similarity mass it holds less than 1 - `attach`.
5. Stories are the closer groups within a narrative, from one likeness above the base on (`STORY` in `levels`). Themes are chosen
   as narratives are, by excess of mass and closure, but by what lies below the base, where texts share a subject and no more.
   `hierarchy_` holds all three, each inside the next.
6. An outlier joins the narrative that holds more than `attach` of the similarity mass of its neighbours, unless it lies farther from
   the centroid than `STRETCH` times the radius that holds nine tenths of the members.

With ``linkage="density"`` step 3 is HDBSCAN's: mutual reachability and its spanning tree (`density`).

Leaders stand in an order of their content, and products of many rows are exact (`lists`): neither the order of the rows nor
the number of threads leaves a trace. docs/method/narratives.md says what the settings were chosen on, docs/benchmarks.md what it costs.
"""

from greyzone.cluster.estimator import NarrativeClusterer

__all__ = ["NarrativeClusterer"]
