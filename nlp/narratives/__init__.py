"""Clusters of documents to narratives: what they say, when they began, who carries them, how far they got, and why a document is there.

`describe_narratives` is the stage. What it is made of: `frame` lays documents, copies and clusters side by side as arrays, `levels`
names stories and themes, `central` finds what stands for a narrative and which ones are near, `timeline` dates it, `spread` tells who
carried it when, `members` answers for every document.
"""

from greyzone.narratives.spread import breakout
from greyzone.narratives.stage import describe_narratives

__all__ = ["breakout", "describe_narratives"]
