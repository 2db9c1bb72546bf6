"""Encoders and device choice."""
