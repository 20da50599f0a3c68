"""``python -m tests.benchmarks.segment_once ARCHIVE [memory] [WORKERS]``: time past Ray's start."""

import json
import sys
import threading
import time
from pathlib import Path

import psutil

from pipelines.archive import open_archive
from services import event_log
from services.verbs.segment import Settings, perform


class PeakMemory(threading.Thread):
    """Watches the resident memory of this process and of the actors it has."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.driver_bytes = self.worker_bytes = 0

    def run(self) -> None:
        me = psutil.Process()
        while True:
            self.driver_bytes = max(self.driver_bytes, me.memory_info().rss)
            for child in me.children(recursive=True):
                try:
                    if "MapWorker" in " ".join(child.cmdline()):
                        self.worker_bytes = max(self.worker_bytes, child.memory_info().rss)
                except psutil.Error:
                    continue
            time.sleep(0.05)


def main() -> None:
    started = time.perf_counter()
    # As in the verb, modules are loaded before Ray starts.
    import pipelines.segmentation.flow
    from cluster.session import connect

    archive = open_archive(Path(sys.argv[1]))
    n_workers = int(sys.argv[-1]) if sys.argv[-1].isdecimal() else 2
    begun: list[float] = []
    event_log.tile_ended = lambda stage, tile: begun.append(
        time.perf_counter() - tile.result.seconds
    )
    memory = PeakMemory()
    if "memory" in sys.argv:
        memory.start()
    with connect(num_cpus=2):
        before, busy = time.perf_counter(), time.process_time()
        outcome = perform(archive, Settings(archive=archive.root, workers=n_workers))
        seconds, busy = time.perf_counter() - before, time.process_time() - busy
    result = {
        "seconds": seconds,
        # From when the first tile was begun: the workers have started.
        "working_s": before + seconds - begun[0],
        "driver_cpu_s": busy,
        "with_start_s": time.perf_counter() - started,
        "driver_mb": memory.driver_bytes / 1e6,
        "worker_mb": memory.worker_bytes / 1e6,
        **outcome.values,
    }
    assert pipelines.segmentation.flow
    print(json.dumps(result))


if __name__ == "__main__":
    main()
