"""Scores: arrays and counts in, numbers out; reads and saves nothing."""
