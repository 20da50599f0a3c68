"""What a cluster's metrics say of our work: Ray collects them, Prometheus asks Ray for them.

Nothing need listen: without a collector the numbers are counted and forgotten.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ray.util.metrics import Counter, Gauge, Histogram

TILES_DONE = "tessera_tiles_done"
TILES_FAILED = "tessera_tiles_failed"
TILE_BYTES = "tessera_tile_bytes"
TILE_SECONDS = "tessera_tile_seconds"
TILES_WAITING = "tessera_tiles_waiting"
#: The one label that we add to Ray's own.
STAGE = "stage"

#: From a blank tile to a large one under a network on a processor.
SECONDS_BOUNDARIES = [0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0]


def exported_names() -> frozenset[str]:
    """Return the names under which Ray shows the metrics to Prometheus."""
    counters = (TILES_DONE, TILES_FAILED, TILE_BYTES)
    return frozenset(
        [
            *(f"ray_{name}_total" for name in counters),
            *(f"ray_{TILE_SECONDS}_{part}" for part in ("bucket", "sum", "count")),
            f"ray_{TILES_WAITING}",
        ]
    )


@dataclass
class Queue:
    """The tiles of a stage that wait for a worker, or are being worked on."""

    gauge: Gauge
    length: int = 0

    def grow_to(self, length: int) -> None:
        """Take note of how many there are."""
        self.length = length
        self.gauge.set(length)

    def shrink(self) -> None:
        """Take note of one that is done."""
        self.grow_to(max(self.length - 1, 0))


@dataclass
class WorkMetrics:
    """Counts what becomes of a stage's tiles in this process.

    Attributes
    ----------
    stage : str
        Name of the stage: the label of every number.
    """

    stage: str
    _done: Counter = field(init=False)
    _failed: Counter = field(init=False)
    _bytes: Counter = field(init=False)
    _seconds: Histogram = field(init=False)

    def __post_init__(self) -> None:
        keys, tags = (STAGE,), {STAGE: self.stage}
        self._done = Counter(TILES_DONE, "Tiles finished.", keys)
        self._failed = Counter(TILES_FAILED, "Tiles given up and put in quarantine.", keys)
        self._bytes = Counter(TILE_BYTES, "Bytes of the pixels of finished tiles.", keys)
        self._seconds = Histogram(
            TILE_SECONDS, "Seconds that a worker spent on a tile.", SECONDS_BOUNDARIES, keys
        )
        for metric in (self._done, self._failed, self._bytes, self._seconds):
            metric.set_default_tags(tags)

    def ended(self, *, failed: bool, seconds: float, n_bytes: int) -> None:
        """Count a tile that was finished, or given up."""
        (self._failed if failed else self._done).inc()
        self._seconds.observe(seconds)
        if n_bytes > 0:
            self._bytes.inc(n_bytes)

    @contextmanager
    def queue(self) -> Iterator[Queue]:
        """Show how many tiles wait, for the length of the block; none do after it."""
        gauge = Gauge(TILES_WAITING, "Tiles that wait or are being worked on.", (STAGE,))
        waiting = Queue(gauge.set_default_tags({STAGE: self.stage}))
        try:
            yield waiting
        finally:
            waiting.grow_to(0)
