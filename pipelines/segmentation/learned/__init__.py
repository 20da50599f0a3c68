"""Segmentation by a network that was fitted before: fields, then heights, then particles.

The network (`network`) sees the mosaic in blocks of one shape on a grid that belongs to the mosaic
(`fields`), at the scale that it was trained at (`scale`). What it says of a pixel becomes a height
(`heights`), and from there on it is a method like any other (`method`).
"""
