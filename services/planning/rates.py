"""How long a unit of work takes: as the archive's own past says, or else as it is assumed.

What is assumed is marked wherever it is used. Thresholds, the learned segmenter and classifiers'
passes were timed on one core of a Xeon, the passes while it was busy; the rest are guesses.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.archive import Archive
from pipelines.ledger import DONE, iterate_entries
from pipelines.segmentation.tile_task import STAGE, WHOLE, core_of

if TYPE_CHECKING:
    from pipelines.classifiers.plan import TrainPlan
    from pipelines.segmentation.plan import SegmentationPlan

#: Pixels a second of one core: by thresholds, by our own network, by others' (a guess).
ASSUMED_PX_PER_S = {"threshold": 12e6, "learned": 2.3e6, "other network": 0.3e6}
_KINDS = {"learned": "learned", "cellpose": "other network", "stardist": "other network"}
#: Seconds that a core takes for an image forth and back through a network, by its kind and width.
ASSUMED_PASS_S = {
    ("polar", "slim"): 1.8e-3,
    ("polar", "wide"): 15e-3,
    ("polar-coarse", "slim"): 0.5e-3,
    ("polar-coarse", "wide"): 3e-3,
    ("compact", "slim"): 4e-3,
    ("compact", "wide"): 36e-3,
}
#: Forth alone (a guess).
ASSUMED_LOOK_SHARE = 0.4
#: An accelerator stands for so many cores (a guess).
ASSUMED_GPU_CORES = 20.0


@dataclass(frozen=True)
class Rate:
    """Seconds of one worker for one unit, and how that is known."""

    seconds: float
    source: str

    @property
    def is_assumed(self) -> bool:
        """Whether the archive's past says nothing of it."""
        return self.source.startswith("assumed")


def segment_rate(archive: Archive, plan: "SegmentationPlan") -> Rate:
    """Return the seconds of a worker for a pixel."""
    methods, tiles = {}, []
    for entry in iterate_entries(archive, STAGE):
        if entry.unit == WHOLE:
            with suppress(ValueError, KeyError, TypeError):
                methods[entry.mosaic] = json.loads(entry.settings)["method"]
        elif entry.status == DONE and entry.seconds:
            core = core_of(entry.unit)
            if core is not None:
                tiles.append((entry.mosaic, core.shape[0] * core.shape[1], entry.seconds))
    method = plan.settings.method
    # Of a mosaic that is half done the ledger does not say the method yet: it is this one's.
    alike = [(n, s) for mosaic, n, s in tiles if methods.get(mosaic, method) == method]
    if alike:
        n_px, seconds = (sum(values) for values in zip(*alike, strict=True))
        return Rate(seconds / n_px, f"{len(alike)} past tiles")
    n_per_s = ASSUMED_PX_PER_S[_KINDS.get(method.partition(":")[0], "threshold")]
    return Rate(1 / n_per_s, f"assumed {n_per_s / 1e6:g} Mpx/s per core")


def train_rate(archive: Archive, plan: "TrainPlan") -> Rate:
    """Return the seconds of a worker for an image forth and back through the plan's network."""
    seconds = n_passes = 0.0
    n_runs = 0
    for settings, result, took in _trainings(archive):
        alike = all(
            settings.get(name, value) == value
            for name, value in (
                ("network", plan.network["architecture"]),
                ("width", width_of(plan.network)),
                ("input_px", plan.view.input_px),
            )
        )
        if alike and result.get("passes"):
            seconds, n_passes, n_runs = seconds + took, n_passes + result["passes"], n_runs + 1
    if n_runs:
        return Rate(seconds / n_passes, f"{n_runs} past training{'s' if n_runs > 1 else ''}")
    return assumed_pass(
        str(plan.network["architecture"]), width_of(plan.network), plan.view.input_px
    )


def width_of(network: Mapping[str, Any]) -> str:
    """Return what the width of a network is called."""
    from pipelines.classifiers.architectures import WIDTHS

    names = {tuple(widths): name for name, widths in WIDTHS.items()}
    return names.get(tuple(network["widths"]), "wide")


def assumed_pass(architecture: str, width: str, input_px: int) -> Rate:
    """Return what is assumed of a network's image, forth and back."""
    pass_s = ASSUMED_PASS_S.get((architecture, width), ASSUMED_PASS_S["compact", "wide"])
    if architecture == "compact":
        pass_s *= (input_px / 64) ** 2
    return Rate(pass_s, f"assumed {1 / pass_s:.0f} images/s per core")


def _trainings(archive: Archive) -> Iterator[tuple[dict[str, Any], dict[str, Any], float]]:
    """Yield settings, result and seconds of what was trained here, each worker's together."""
    for entry in iterate_entries(archive, "train"):
        if entry.status == DONE and entry.seconds:
            settings, result = json.loads(entry.settings), json.loads(entry.result)
            yield settings, result, entry.seconds * max(1, settings.get("train_workers", 0))


def predict_rate(
    archive: Archive, *, network: Mapping[str, Any], input_px: int, looks: int
) -> Rate:
    """Return the seconds of a worker for a particle; ``looks`` are the rotations of each."""
    seconds = n_particles = 0.0
    for entry in iterate_entries(archive, "predict"):
        n = json.loads(entry.result).get("particles", 0)
        if entry.status == DONE and entry.seconds and n:
            seconds, n_particles = seconds + entry.seconds, n_particles + n
    if n_particles:
        return Rate(seconds / n_particles, f"{n_particles:.0f} past particles")
    pass_s = assumed_pass(str(network["architecture"]), width_of(network), input_px).seconds
    look_s = ASSUMED_LOOK_SHARE * pass_s * looks
    return Rate(look_s, f"assumed {1 / look_s:.0f} particles/s per core")
