"""What a benchmark measured, on which machine, and the README's table of it."""

import json
import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import psutil

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
README = HERE.parents[1] / "README.md"
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"


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
    """Replace the results of a group of benchmarks, and the README's table."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[group] = {
        "machine": machine(),
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        "measurements": [asdict(measurement) for measurement in measurements],
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    write_table(results)


def write_table(results: dict[str, dict[str, object]]) -> None:
    """Put the table of all results between the README's marks."""
    text = README.read_text()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    README.write_text(f"{head}{BEGIN}\n{table(results)}\n{END}{tail}")


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
    for group, result in results.items():
        facts = result["machine"]
        versions = ", ".join(f"{name} {facts[name]}" for name in ("numpy", "ray", "torch", "zarr"))
        lines.append(
            f"\n{group}: {result['at']}, {facts['cores']} cores of {facts['processor']}, "
            f"{facts['memory_gib']} GiB, Python {facts['python']}, {versions}."
        )
    return "\n".join(lines)
