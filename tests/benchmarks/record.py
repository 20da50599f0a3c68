"""What a benchmark measured, on which machine, and the pages that show it."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import psutil

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
#: Pages that show what was measured, between marks with a name.
PAGES = (HERE.parents[1] / "README.md", HERE / "RESULTS.md")


@dataclass(frozen=True)
class Measurement:
    """A ratio, its goal, and the two figures behind it.

    ``better`` says which way is good: ratio "at least" or "at most" the goal.
    """

    name: str
    ours: str
    baseline: str
    ratio: float
    better: str
    goal: float

    @property
    def reached(self) -> bool:
        return self.ratio >= self.goal if self.better == "at least" else self.ratio <= self.goal


def machine() -> dict[str, str]:
    """Describe the machine and the versions that matter."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":", 1)[1].strip() if names else model
    versions = {name: metadata.version(name) for name in ("numpy", "ray", "torch", "zarr")}
    return {
        "processor": model,
        "cores": str(os.cpu_count()),
        "memory_gib": f"{psutil.virtual_memory().total / 2**30:.0f}",
        "python": platform.python_version(),
        **versions,
    }


def keep(measurements: list[Measurement], group: str) -> None:
    """Replace the results of a group of benchmarks, and the table of all."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[group] = {
        "machine": machine(),
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        "measurements": [asdict(measurement) for measurement in measurements],
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    write_between_marks("benchmarks", table(results))


def write_between_marks(name: str, text: str, pages: Sequence[Path] = PAGES) -> None:
    """Put text where a page has the marks of that name.

    Raises
    ------
    ValueError
        If no page has them: what was measured would be shown nowhere.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    marked = [page for page in pages if begin in page.read_text()]
    if not marked:
        raise ValueError(f"no page has the marks of {name!r}: {', '.join(map(str, pages))}")
    for page in marked:
        head, _, rest = page.read_text().partition(begin)
        _, _, tail = rest.partition(end)
        page.write_text(f"{head}{begin}\n{text}\n{end}{tail}")


def table(results: dict[str, dict[str, object]]) -> str:
    lines = [
        "| what | ours | baseline | ratio | goal | |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for result in results.values():
        for row in result["measurements"]:
            m = Measurement(**row)
            mark = "reached" if m.reached else "**missed**"
            goal = f"{m.better} {m.goal:g}"
            lines.append(
                f"| {m.name} | {m.ours} | {m.baseline} | {m.ratio:.2f} | {goal} | {mark} |"
            )
    groups: dict[str, list[str]] = {}
    for group, result in results.items():
        facts = result["machine"]
        versions = ", ".join(f"{name} {facts[name]}" for name in ("numpy", "ray", "torch", "zarr"))
        where = (
            f"{facts['cores']} cores of {facts['processor']}, {facts['memory_gib']} GiB, Python "
            f"{facts['python']}, {versions}"
        )
        groups.setdefault(where, []).append(f"{group} {result['at'][:10]}")
    for where, measured in groups.items():
        lines.append(f"\nOn {where}: {', '.join(measured)}.")
    return "\n".join(lines)
