"""``python -m tests.benchmarks [GROUP...]``: run benchmarks, keep their results, say them."""

import importlib
import sys

from tests.benchmarks.record import HERE, keep


def main() -> None:
    present = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    for group in sys.argv[1:] or present:
        measurements = importlib.import_module(f"tests.benchmarks.bench_{group}").run()
        keep(measurements, group)
        for m in measurements:
            print(
                f"{group}: {m.name}: ours {m.ours}, baseline {m.baseline}, ratio {m.ratio:.2f}, "
                f"goal {m.better} {m.goal:g}: {'reached' if m.reached else 'missed'}",
                flush=True,
            )


if __name__ == "__main__":
    main()
