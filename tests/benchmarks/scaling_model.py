"""What a segmentation costs: fitted to measured runs, and said of runs that nobody can make here.

Workers work on tiles; one driver hands tiles out and takes their results, decides which particles
a mosaic has, and writes all tables. Both go on at once, so the slower one decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from scipy.optimize import nnls


@dataclass(frozen=True)
class Load:
    """What there is to do, and how it is handed out.

    Attributes
    ----------
    tiles, mosaics, particles : int
        How many there are.
    tiles_per_object : int
        Tiles whose results the driver gets at once: one get is for one object.
    jobs_at_once : int
        Tiles, to be segmented or painted, that Ray is given at once.
    """

    tiles: int
    mosaics: int
    particles: int = 0
    tiles_per_object: int = 16
    jobs_at_once: int = 1 << 16

    @property
    def objects(self) -> float:
        """Objects that the driver gets: every tile comes twice, to be segmented and painted."""
        return 2 * self.tiles / self.tiles_per_object

    @property
    def waves(self) -> int:
        """How often actors are started."""
        return -(-2 * self.tiles // self.jobs_at_once)


@dataclass(frozen=True)
class Cluster:
    """Where it is done.

    Attributes
    ----------
    nodes : int
        Machines.
    workers_per_node : int
        Actors on each, a core each.
    spare_cores : bool
        Whether the driver has a core of its own.
    """

    nodes: int
    workers_per_node: int
    spare_cores: bool = True

    @property
    def workers(self) -> int:
        """All actors."""
        return self.nodes * self.workers_per_node


@dataclass(frozen=True)
class DriverCosts:
    """Seconds of the driver for each wave, tile, object, mosaic and particle."""

    wave_s: float
    tile_s: float
    object_s: float
    mosaic_s: float
    particle_s: float

    def seconds(self, load: Load) -> float:
        """Return how long the driver is busy."""
        return float(np.dot(_amounts(load), [getattr(self, f.name) for f in fields(self)]))

    def meanwhile_s(self, load: Load) -> float:
        """Return how long it is busy while workers work, and not before they begin."""
        return self.seconds(load) - load.waves * self.wave_s


@dataclass(frozen=True)
class Costs:
    """All that a run costs.

    Attributes
    ----------
    driver : DriverCosts
        What the driver does.
    work_s : float
        Seconds of a worker for a tile, both passes.
    start_s : float
        Until the actors of a wave work.
    """

    driver: DriverCosts
    work_s: float
    start_s: float

    def seconds(self, load: Load, cluster: Cluster) -> float:
        """Return how long a run takes."""
        work, driver = load.tiles * self.work_s, self.driver.meanwhile_s(load)
        # The last block of a pass keeps one worker busy while the others have nothing left.
        tail = min(load.tiles_per_object, load.tiles) * self.work_s / 2
        at_work = max(work / cluster.workers, driver)
        if not cluster.spare_cores:
            at_work = max(at_work, (work + driver) / cluster.workers)
        return load.waves * (self.start_s + tail) + at_work

    def efficiency(self, load: Load, cluster: Cluster) -> float:
        """Return the share of the workers' time that is spent on tiles."""
        return load.tiles * self.work_s / (cluster.workers * self.seconds(load, cluster))

    def most_workers(self, load: Load) -> float:
        """Return how many workers keep the driver busy all the time: more gain nothing."""
        return load.tiles * self.work_s / self.driver.meanwhile_s(load)

    def shares(self, load: Load) -> dict[str, float]:
        """Return which part of the driver's time goes where."""
        costs = [getattr(self.driver, f.name) for f in fields(self.driver)]
        seconds = _amounts(load) * np.array(costs)
        names = [f.name.removesuffix("_s") for f in fields(self.driver)]
        return dict(zip(names, (seconds / seconds.sum()).tolist(), strict=True))


def fit_driver(loads: Sequence[Load], seconds: Sequence[float]) -> DriverCosts:
    """Fit the driver's costs, none of them negative, so that relative errors are least.

    Parameters
    ----------
    loads : sequence of Load
        What was done.
    seconds : sequence of float
        How long the driver was busy with it.
    """
    amounts = np.array([_amounts(load) for load in loads])
    measured = np.asarray(seconds, dtype=np.float64)
    # Columns of like size, or the solver stops before the small ones count.
    scales = np.maximum((amounts / measured[:, None]).max(axis=0), 1e-300)
    found, _ = nnls(amounts / measured[:, None] / scales, np.ones(len(measured)))
    return DriverCosts(*(found / scales).tolist())


def fit_workers(
    loads: Sequence[Load], clusters: Sequence[Cluster], seconds: Sequence[float]
) -> tuple[float, float]:
    """Fit how long actors take to start, and to work on a tile, from runs of one wave each.

    Returns
    -------
    work_s, start_s : float
        See `Costs`.
    """
    rows = [
        [
            load.tiles / cluster.workers + min(load.tiles_per_object, load.tiles) / 2,
            float(load.waves),
        ]
        for load, cluster in zip(loads, clusters, strict=True)
    ]
    measured = np.asarray(seconds, dtype=np.float64)
    (work_s, start_s), _ = nnls(np.array(rows) / measured[:, None], np.ones(len(measured)))
    return float(work_s), float(start_s)


def _amounts(load: Load) -> np.ndarray:
    amounts = (load.waves, load.tiles, load.objects, load.mosaics, load.particles)
    return np.array(amounts, dtype=np.float64)
