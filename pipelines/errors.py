"""Errors that are the caller's to mend.

Each names the argument or file, the rule and the value in one line. The command line prints
that line alone and exits 2; anything else that escapes is ours and keeps its traceback.
"""


class TesseraError(Exception):
    """A mistake or an obstacle outside the program, said in one line."""


class SettingsError(TesseraError, ValueError):
    """A setting or argument breaks its rule."""


class ArchiveError(TesseraError, ValueError):
    """The archive is missing, is not one, or does not hold what was asked for."""


class MosaicError(TesseraError, ValueError):
    """An image cannot be read as a mosaic."""


class LabelError(TesseraError, ValueError):
    """Rules, classes or label versions do not fit together."""


class ModelError(TesseraError, ValueError):
    """A model is missing, damaged, or does not fit the data."""


class UnfitStartError(ModelError):
    """A model's weights are of another network or other classes than those to be trained."""


class StorageFullError(TesseraError, OSError):
    """The disk that holds the archive has no room left."""
