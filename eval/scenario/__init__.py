"""A synthetic scenario with known truth: who is planted, what is written, and how far a case is from it."""
