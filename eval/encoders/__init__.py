"""Encoders side by side on public sets: quality, floors that the default may not fall below, speed and memory."""
