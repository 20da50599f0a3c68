"""A stage's work as it is planned: how much there is, what it takes, and what that costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.resources import ActorPool
from services.screens import table_text

MB = 10**6


@dataclass(frozen=True)
class Prices:
    """What an hour of a core and of an accelerator costs, in any currency; None: not known."""

    core_hour: float | None = None
    gpu_hour: float | None = None


@dataclass(frozen=True)
class Work:
    """What a stage would do.

    Attributes
    ----------
    stage : str
        The verb.
    unit : str
        What is counted.
    n_done, n_left : int
        Units that are done already, and that would be done.
    where : str
        What would work on them, in words.
    cores, gpus : float
        Those that are in use meanwhile.
    seconds : float
        How long it takes, past the start of Ray.
    rate : str
        Where that is known from.
    read_bytes, write_bytes : int
        Pixels to read and to write, before compression.
    remark : str
        What else is to be said.
    """

    stage: str
    unit: str
    n_done: int
    n_left: int
    where: str = "this process"
    cores: float = 1.0
    gpus: float = 0.0
    seconds: float = 0.0
    rate: str = ""
    read_bytes: int = 0
    write_bytes: int = 0
    remark: str = ""

    @property
    def core_hours(self) -> float:
        """Hours of cores that are in use."""
        return self.seconds * self.cores / 3600

    @property
    def gpu_hours(self) -> float:
        """Hours of accelerators that are in use."""
        return self.seconds * self.gpus / 3600

    def cost(self, prices: Prices) -> float | None:
        """Return the price; None where a price that it takes is not known."""
        parts = [(self.core_hours, prices.core_hour), (self.gpu_hours, prices.gpu_hour)]
        if any(hours and price is None for hours, price in parts) or prices == Prices():
            return None
        return sum(hours * (price or 0.0) for hours, price in parts)


def in_words(pool: ActorPool) -> str:
    """Say what a pool of actors is.

    Examples
    --------
    >>> in_words(ActorPool(2, memory_bytes=412_000_000))
    '2 workers of 1 core, 412 MB'
    """
    each = [f"{pool.num_cpus:.3g} core{'' if pool.num_cpus <= 1 else 's'}"]
    if pool.num_gpus:
        each.append(f"{pool.num_gpus:.3g} GPU")
    if pool.memory_bytes:
        each.append(f"{pool.memory_bytes / MB:.0f} MB")
    return f"{pool.size} worker{'' if pool.size == 1 else 's'} of {', '.join(each)}"


def summary(works: Sequence[Work], prices: Prices) -> dict[str, Any]:
    """Return what is to be told of all stages together; each alone is for JSON."""
    stages = [
        {
            **vars(work),
            "core_hours": work.core_hours,
            "gpu_hours": work.gpu_hours,
            "cost": work.cost(prices),
        }
        for work in works
    ]
    costs = [work.cost(prices) for work in works if work.seconds]
    values: dict[str, Any] = {
        **(
            {works[0].unit.replace(" ", "_"): works[0].n_done + works[0].n_left}
            if len(works) == 1
            else {}
        ),
        "done": sum(work.n_done for work in works),
        "left": sum(work.n_left for work in works),
        "read_bytes": sum(work.read_bytes for work in works),
        "write_bytes": sum(work.write_bytes for work in works),
        "seconds": sum(work.seconds for work in works),
        "core_hours": sum(work.core_hours for work in works),
        "gpu_hours": sum(work.gpu_hours for work in works),
    }
    known = [cost for cost in costs if cost is not None]
    if prices != Prices() and len(known) == len(costs):
        values["cost"] = sum(known)
    values["assumed"] = any("assumed" in work.rate for work in works)
    return {**values, "stages": stages}


def screen(works: Sequence[Work], totals: Mapping[str, Any]) -> str:
    """Lay the stages out as a table, with what is to be said of them below."""
    head = ["stage", "where", "unit", "done", "to do", "reads", "writes", "time", "rate"]
    rows = [
        [
            work.stage,
            work.where,
            work.unit,
            f"{work.n_done}",
            f"{work.n_left}",
            size_text(work.read_bytes),
            size_text(work.write_bytes),
            time_text(work.seconds) if work.n_left else "-",
            work.rate or "-",
        ]
        for work in works
    ]
    price = f", at a price of {totals['cost']:.3g}" if "cost" in totals else ""
    said = [f"{work.stage}: {work.remark}" for work in works if work.remark]
    return "\n".join(
        [
            table_text(head, rows, n_text_columns=3),
            *said,
            f"about {time_text(totals['seconds'])} in all past the start of Ray: "
            f"{totals['core_hours']:.3g} core-hours, {totals['gpu_hours']:.3g} GPU-hours{price}",
            "nothing was run, and nothing was written",
        ]
    )


def size_text(n_bytes: int) -> str:
    """Write a size.

    Examples
    --------
    >>> [size_text(n) for n in (0, 800_000, 36_700_000_000)]
    ['-', '800 kB', '36.7 GB']
    """
    for unit, scale in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3), ("B", 1)):
        if n_bytes >= scale:
            return f"{n_bytes / scale:.3g} {unit}"
    return "-"


def time_text(seconds: float) -> str:
    """Write a length of time as far as an estimate is worth.

    Examples
    --------
    >>> [time_text(s) for s in (0.2, 48, 400, 9000, 400_000)]
    ['1 s', '48 s', '7 min', '2.5 h', '4.6 d']
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} d"
