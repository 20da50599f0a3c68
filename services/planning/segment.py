"""What a segmentation would do."""

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from cluster.resources import Node
from pipelines.archive import Archive
from pipelines.errors import ArchiveError
from services.planning.machines import looking_glass
from services.planning.rates import segment_rate
from services.planning.work import Work, in_words

if TYPE_CHECKING:
    from pipelines.segmentation.plan import SegmentationPlan
    from services.verbs.segment import Settings

#: Ids are 32 bit, and their pyramid takes a third more.
_ID_BYTES = 4 * 4 / 3


def plan_work(archive: Archive, settings: "Settings", nodes: list[Node]) -> list[Work]:
    """Plan a segmentation: one line for each method that the mosaics need.

    Raises
    ------
    ArchiveError, SettingsError, ModelError, NoRoomError
        If it could not be done.
    """
    from services.verbs.segment import plan_mosaics, resolve_methods

    names = [name for name in archive.mosaic_names() if fnmatchcase(name, settings.mosaic)]
    if not names:
        raise ArchiveError(f"archive {archive.root} holds no mosaic to segment")
    with looking_glass(archive) as glass:
        methods = resolve_methods(glass, settings, names, mosaics=archive)
        return [
            _work(archive, settings, plan_mosaics(archive, settings, method, chosen), nodes)
            for method, chosen in methods.items()
        ]


def _work(
    archive: Archive, settings: "Settings", plan: "SegmentationPlan", nodes: list[Node]
) -> Work:
    from pipelines.segmentation.flow import plan_pools
    from pipelines.segmentation.tile_plans import State

    n_px = n_read = 0
    for mosaic in plan.mosaics:
        info = mosaic.mosaic.info
        for index, state in enumerate(mosaic.tiles.states):
            if state == State.LEFT:
                core = mosaic.tiles.core(index)
                n_px += core.shape[0] * core.shape[1]
                height, width = core.grown(plan.halo_px, info.shape).shape
                n_read += height * width * info.dtype.itemsize
    pool, network = plan_pools(plan, nodes, settings.wish, settings.network_workers)
    pools = [pool] if network is None else [pool, network]
    rate = segment_rate(archive, plan)
    at_once = max(1, min(sum(each.size for each in pools), plan.n_tiles_left))
    is_left = bool(plan.mosaics)
    # What is finished is counted by its mosaics: the tiles of another run are not known.
    remark = f"{len(plan.finished)} mosaics are finished" if plan.finished else ""
    return Work(
        "segment",
        "tiles",
        plan.n_tiles - plan.n_tiles_left,
        plan.n_tiles_left,
        where=" and ".join(map(in_words, pools)) if is_left else "nothing to do",
        cores=sum(each.size * each.num_cpus for each in pools),
        gpus=sum(each.size * each.num_gpus for each in pools),
        seconds=n_px * rate.seconds / at_once,
        rate=rate.source if is_left else "",
        read_bytes=n_read,
        write_bytes=round(n_px * _ID_BYTES),
        remark=remark,
    )
