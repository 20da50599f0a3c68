"""Mosaics: OME-Zarr images on disk, how they are tiled, and how files become them."""
