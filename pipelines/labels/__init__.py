"""Weak labels: rules over measurements, votes, and the label table's own rules."""
