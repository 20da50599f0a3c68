"""Segmentation methods: one file each, found by its name.

A file here whose module has an object ``METHOD`` that fits `pipelines.segmentation.method.Method`
is a method: ``--method otsu`` takes ``methods/otsu.py``. A file of your own anywhere is one
too: ``--method path/to/file.py:NAME`` takes the object ``NAME`` in it.
"""
