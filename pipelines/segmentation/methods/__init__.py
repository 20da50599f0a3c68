"""Segmentation methods: one file each, found by its name.

A file here whose module has an object ``METHOD`` that fits `pipelines.segmentation.method.Method`
is a method: ``--method otsu`` takes ``methods/otsu.py``. One that needs a model of the user's has a
function ``open_method`` instead, which is given the model's path: ``--method cellpose --model-path
FILE`` asks ``methods/cellpose.py`` for ``open_method("FILE")``. A file of your own anywhere is one
too: ``--method path/to/file.py:NAME`` takes the object ``NAME`` in it.
"""
