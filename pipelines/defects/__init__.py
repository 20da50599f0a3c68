"""Defects in lattices and surfaces: find the few patches that are not as they should be."""
