"""Segmenters that learn: what they learn from, how they are compared, which one is used."""
