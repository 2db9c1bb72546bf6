"""Evaluation: metrics, synthetic campaigns with known truth, benchmarks."""
