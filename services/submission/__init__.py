"""Verbs as jobs on a Ray cluster: what is sent there, and what runs there."""
