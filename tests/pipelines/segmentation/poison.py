"""A segmentation method that fails where the image has certain grey levels: what tests plant.

A file of one's own, as a user would write it: ``--method poison.py:METHOD``.
"""

import errno
import os

from pipelines.segmentation.methods.otsu import Otsu

RAISES, KILLS, FILLS = 251, 252, 253


class Poison(Otsu):
    version = 1

    def heights(self, image, window, survey, settings):
        if (image == RAISES).any():
            raise ValueError("poisoned")
        if (image == KILLS).any():
            os._exit(1)
        if (image == FILLS).any():
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().heights(image, window, survey, settings)


METHOD = Poison()
