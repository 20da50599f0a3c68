"""What a model's card says of the data that it learnt from."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from pipelines.mosaic.ome_zarr import MosaicInfo
from pipelines.training.samples import UNKNOWN
from pipelines.training.splits import TEST, TRAIN
from services.train_plan import Planned

#: Where FEI and Zeiss write which instrument it was, and its accelerating voltage.
_INSTRUMENT = (
    ("fei", ("System.SystemType", "System.Type", "System.Dnumber")),
    ("zeiss", ("sv_serial_number", "dp_system")),
)
_VOLTAGE = (("fei", "Beam.HV"), ("zeiss", "ap_actualkv"))


def describe_training(planned: Planned) -> dict[str, Any]:
    """Say what a model is trained on: mosaics, instruments, pixel sizes, classes.

    Parameters
    ----------
    planned : Planned
        The training.

    Returns
    -------
    trained_on : dict
        ``mosaics`` (pixel size, instrument and number of particles of each), ``pixel_size_nm``
        (smallest and largest, None where no size is known), ``instruments``, and ``labels``: how
        many particles are given each class.
    """
    plan = planned.plan
    learnt = (plan.roles != TEST) & (plan.given_labels != UNKNOWN)
    counts = np.bincount(plan.particles.mosaic_index[learnt], minlength=len(plan.mosaics))
    used = [(i, n) for i, n in zip(planned.data.mosaics, counts.tolist(), strict=True) if n]
    sizes = [info.pixel_size_nm for info, _ in used if info.pixel_size_nm is not None]
    given = Counter(plan.given_labels[learnt & (plan.roles == TRAIN)].tolist())
    return {
        "mosaics": {info.name: {**describe_mosaic(info), "particles": n} for info, n in used},
        "pixel_size_nm": [min(sizes), max(sizes)] if sizes else None,
        "unknown_pixel_sizes": len(used) - len(sizes),
        "instruments": sorted({instrument(info.acquisition) for info, _ in used}),
        "labels": {name: given[index] for index, name in enumerate(plan.classes)},
    }


def describe_mosaic(info: MosaicInfo) -> dict[str, Any]:
    """Say how a mosaic was taken, as far as its file told."""
    acquisition = info.acquisition
    values = {
        "pixel_size_nm": info.pixel_size_nm,
        "instrument": instrument(acquisition),
        "voltage": voltage(acquisition),
        "format": acquisition.get("format"),
        "dtype": info.dtype.name,
        "shape_px": list(info.shape),
    }
    return {key: value for key, value in values.items() if value is not None}


def instrument(acquisition: Mapping[str, Any]) -> str:
    """Return which instrument took a mosaic; ``unknown`` where its file did not say.

    Examples
    --------
    >>> instrument({"fei": {"System.SystemType": "Quanta FEG"}})
    'FEI Quanta FEG'
    """
    if named := acquisition.get("instrument"):
        return str(named)
    for maker, keys in _INSTRUMENT:
        details = acquisition.get(maker, {})
        if found := next((details[key] for key in keys if details.get(key)), None):
            return f"{maker.upper() if maker == 'fei' else maker.title()} {found}"
        if details:
            return maker.upper() if maker == "fei" else maker.title()
    return "unknown"


def voltage(acquisition: Mapping[str, Any]) -> Any:
    """Return the accelerating voltage as its file states it, or None."""
    for maker, key in _VOLTAGE:
        if (found := acquisition.get(maker, {}).get(key)) is not None:
            return found
    return None
