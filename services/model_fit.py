"""Whether a model fits the mosaics that it is to be used on: pixel sizes and classes."""

from collections.abc import Sequence
from typing import Any

import pyarrow.compute as pc

from pipelines.archive import Archive
from pipelines.classifiers.model import check_pixel_size
from pipelines.errors import ModelError
from pipelines.mosaic.ome_zarr import MosaicInfo
from pipelines.tables import read_rows
from services.model_registry import RegisteredModel
from services.progress import note


def check_fit(
    archive: Archive,
    model: RegisteredModel,
    mosaics: Sequence[MosaicInfo],
    *,
    force: bool = False,
) -> None:
    """Refuse a model whose pixels or classes are not those of the mosaics.

    Pixels may be half as large as the smallest that the model was trained on, to twice as large
    as the largest (`pipelines.classifiers.model.PIXEL_SIZE_TOLERANCE`). Every class that these
    mosaics are labelled with must be one of the model's: of others it would make something else.

    Parameters
    ----------
    archive : Archive
        The archive, whose newest labels count.
    model : RegisteredModel
        The model.
    mosaics : sequence of MosaicInfo
        Those that it is to be used on.
    force : bool
        Say what does not fit, and go on.

    Raises
    ------
    ModelError
        Naming the first thing that does not fit, and the flag that allows it.
    """
    for problem in _problems(archive, model, mosaics):
        if not force:
            raise ModelError(f"{problem}; --force uses the model all the same")
        note(f"forced: {problem}")


def _problems(archive: Archive, model: RegisteredModel, mosaics: Sequence[MosaicInfo]) -> list[str]:
    problems = []
    config = _with_trained_range(model)
    for info in mosaics:
        try:
            check_pixel_size(config, info.name, info.pixel_size_nm)
        except ModelError as error:
            problems.append(str(error))
    known = set(model.config["classes"])
    if strange := [name for name in _classes_of(archive, mosaics) if name not in known]:
        problems.append(
            f"model {model.uri} knows the classes {', '.join(model.config['classes'])}; "
            f"the mosaics are labelled with {', '.join(strange)} too"
        )
    return problems


def _with_trained_range(model: RegisteredModel) -> dict[str, Any]:
    """Return the model's config with the pixel sizes that it learnt from alone."""
    trained = model.card.get("trained_on", {}).get("pixel_size_nm")
    return {**model.config, **({"pixel_size_nm": trained} if trained else {})}


def _classes_of(archive: Archive, mosaics: Sequence[MosaicInfo]) -> list[str]:
    """Return the classes that the mosaics are labelled with."""
    rows = read_rows(
        archive,
        "labels",
        columns=["label"],
        filters=[("mosaic", "in", [info.name for info in mosaics])],
    )
    return sorted(pc.unique(rows["label"].drop_null()).to_pylist())
