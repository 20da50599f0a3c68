"""Buckets of object stores: S3, Google Cloud Storage, Azure Blob Storage; one file per kind.

Zarr, Delta and the paths of `bucket_path` share one kind of client, and take the address and the
credentials from the same variables of the environment. Nothing of that stands in a path, so nothing
of it can be written down by accident.
"""
