"""Every particle of a mosaic once, whatever tiles it was cut into.

A first pass looks at each tile alone (`tiles`): background and threshold come from the whole
mosaic (`survey`), a method turns grey values into heights (`methods`), every pixel follows the
steepest ascent to a peak (`regions`), and peaks that rise too little above their saddles merge
(`persistence`). What cannot be known inside the tile is left open and decided for the mosaic
from the pixels along the seams (`stitching`). A second pass paints the ids (`painting`).
Nothing in this depends on how the mosaic was cut, so there is nothing to reconcile.

To add a method, put a file into `methods` with an object ``METHOD`` that has the attributes of
`method.Method`; ``methods/otsu.py`` is thirty lines. It says how far its answer reaches
(``support_px``), chooses a threshold from the whole mosaic (``lifts``) and gives pixels their
heights (``heights``).
"""
