"""Which mosaics a model can be used on."""

from collections.abc import Sequence

from pipelines.archive import Archive
from pipelines.errors import ModelError
from pipelines.mosaic.ome_zarr import MosaicInfo, open_mosaic
from services.model_fit import check_fit
from services.model_registry import RegisteredModel
from services.progress import note


def unfit_mosaics(
    archive: Archive, models: Sequence[RegisteredModel], mosaics: Sequence[str]
) -> list[str]:
    """Return the mosaics whose pixel size or classes one of the models does not know."""
    infos = [open_mosaic(archive.mosaic(name)).info for name in mosaics]
    found = {info.name for model in models for info in _unfit(archive, model, infos)}
    return sorted(found)


def _unfit(
    archive: Archive, model: RegisteredModel, infos: Sequence[MosaicInfo]
) -> list[MosaicInfo]:
    try:
        # Nearly always all fit, and asking once is as fast as asking about one.
        check_fit(archive, model, infos)
    except ModelError as error:
        if len(infos) == 1:
            note(f"{model.uri} is not used on {infos[0].name}: {error}")
            return list(infos)
        half = len(infos) // 2
        return [*_unfit(archive, model, infos[:half]), *_unfit(archive, model, infos[half:])]
    return []
