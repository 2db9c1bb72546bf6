"""Narratives against known truth: the clusterer and its rivals, growth, the lexical channel, several languages."""
