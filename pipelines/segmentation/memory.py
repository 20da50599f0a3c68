"""How much memory an actor needs for a tile, by its size and the type of its pixels."""

from pipelines.segmentation.plan import SegmentationPlan

#: A process with its libraries, before it has seen a tile.
PROCESS_BYTES = 300 * 10**6
#: Of each pixel that is read: what a threshold, distances and ids take, and its grey level thrice.
#: Measured on tiles of 1024 to 4096 pixels: 23 to 34 bytes at 8 bit, 25 to 40 at 16 bit, 30 to 56
#: at 32 bit, the most where tiles are small and a process is most of it.
BYTES_PER_PX = 30
COPIES = 3


def tile_memory_bytes(plan: SegmentationPlan) -> int:
    """Return what an actor needs for the largest tile of a plan."""
    most = 0
    for mosaic in plan.mosaics:
        info = mosaic.mosaic.info
        n_px = 1
        for side_px in info.shape:
            n_px *= min(plan.core_px + 2 * plan.halo_px, side_px)
        most = max(most, n_px * (BYTES_PER_PX + COPIES * info.dtype.itemsize))
    return PROCESS_BYTES + most
