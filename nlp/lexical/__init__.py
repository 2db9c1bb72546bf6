"""The lexical channel: what the words of this corpus say beside the encoder, and how much it may count.

An encoder knows what words mean in general; which names and words hold a story together only the corpus knows. Latent semantic
analysis (Deerwester et al. 1990) learns it from the corpus itself:

1. Words are folded (`greyzone.text`), so that spellings and scripts meet. A word counts if it stands in `least_texts` distinct texts.
2. x = (1 + ln tf) (1 + ln((1 + n) / (1 + df))), rows of norm 1; df is counted over distinct texts, so copies do not make words common.
3. The leading right singular space of these rows by subspace iteration (Halko, Martinsson and Tropp 2011) from a fixed start, on
   `fit_texts` texts at most: those with the smallest digests. Text to row is then a product with that basis, scaled to norm 1.

`join` puts the two side by side, sim = (1 - w) cos_encoder + w cos_lexical, and `choose_weight` sets w by a rule that is measured on
the corpus; docs/method/lexical.md has the figures from which it was chosen.

The basis is fitted on texts in an order of their content, by one thread: neither the order of the rows nor the number of threads can
change a byte. Another processor or numerical library may change the last bits.
"""

from greyzone.lexical.channel import LexicalChannel
from greyzone.lexical.choice import LexicalChoice, Mode, choose_weight, weigh
from greyzone.lexical.space import JoinedSpace, join, joined_rows, learn_space

__all__ = ["JoinedSpace", "LexicalChannel", "LexicalChoice", "Mode", "choose_weight", "join", "joined_rows", "learn_space", "weigh"]
