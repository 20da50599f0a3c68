"""The detectors by name; each file is imported when its detector is asked for."""

import importlib
from typing import Any

from pipelines.errors import SettingsError

#: Name on the command line -> file in `pipelines.defects.methods`. Names that end in
#: ``-published`` are detectors as they were published, mistakes included.
METHODS: dict[str, str] = {
    "lattice": "lattice",
    "fourier": "fourier_residual",
    "patch-core": "patch_core",
    "padim": "padim",
    "pseudo-defects": "pseudo_defects",
    "blur-maximum": "blur_maximum",
    "one-class-svm": "one_class_svm",
    "one-class-svm-published": "one_class_svm",
    "isolation-forest": "isolation_forest",
    "isolation-forest-published": "isolation_forest",
    "dense-net": "dense_net",
    "dense-net-published": "dense_net",
    "autoencoder": "conv_autoencoder",
    "autoencoder-published": "conv_autoencoder",
}


def get_detector(name: str) -> Any:
    """Return the detector of a name: a `Detector`, and where it can, a `MapDetector`.

    Raises
    ------
    SettingsError
        If there is none.
    """
    if name not in METHODS:
        raise SettingsError(f"--method must be one of {', '.join(METHODS)}, got {name!r}")
    module = importlib.import_module(f"pipelines.defects.methods.{METHODS[name]}")
    return module.PUBLISHED if name.endswith("-published") else module.DETECTOR


def draws_maps(detector: Any) -> bool:
    """Tell whether a detector says where in an image it is odd."""
    return hasattr(detector, "score_map")
