"""Defects in lattices: how they are found on images never seen, and how fast.

``python -m tests.benchmarks.bench_defects PART...`` measures parts (``all`` for all of them), keeps
them in ``defects.json`` and writes their tables; ``run`` is for ``make bench``.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.defects.catalogue import get_detector
from pipelines.defects.model import fit_detector, write_defect_model
from pipelines.defects.patches import cut, make_patches, plan_grid
from pipelines.defects.protocol import feed
from tests.benchmarks.defect_images import PATCH_PX, STRUCTURAL, draw, measure
from tests.benchmarks.defect_tables import (
    PUBLISHED,
    REPAIRED,
    TRAINED,
    UNTRAINED,
    by_dose,
    recall_table,
    tables,
)
from tests.benchmarks.record import HERE, Measurement, keep, machine, write_between_marks

RESULTS = HERE / "defects.json"
#: Images that are tested on (fewer where learning takes the time), and others to learn from.
N_TEST, N_TEST_TRAINED, N_LEARN = 64, 48, 16


def at_snr(
    snr: float, methods: tuple[str, ...], *, n_test: int = N_TEST, n_learn: int = N_LEARN
) -> dict[str, Any]:
    """Compare detectors at one dose."""
    learn, _ = draw(n_learn, snr=snr, first=10_000)
    test, kinds = draw(n_test, snr=snr)
    certain = ~test.is_doubtful
    found: dict[str, Any] = {
        "snr": snr,
        "n_test": n_test,
        "n_learn": n_learn,
        "patches": len(test),
        "prevalence": float(test.is_defect[certain].mean()),
        "methods": {},
    }
    for method in methods:
        found["methods"][method] = measure(method, learn, test, kinds)
        print(f"snr {snr:g}: {method}: {found['methods'][method]}", flush=True)
    return found


def published_setting() -> dict[str, Any]:
    """Repeat the published setting: few images, all defects in some, patches that overlap."""
    from services.defects.evaluation import evaluate

    size = {"size_px": 256 + 64, "stride_px": PATCH_PX // 2}
    clean, _ = draw(7, snr=3.0, prevalence=0, first=20_000, **size)
    faulty, kinds = draw(3, snr=3.0, prevalence=0.12, first=20_100, **size)
    images = np.concatenate([clean.images, faulty.images])
    # No two images are equally bright, which says nothing of defects.
    names, index = np.unique(images, return_inverse=True)
    gains = np.random.default_rng(3).permutation(np.linspace(0.8, 1.2, len(names)))
    pixels = np.concatenate([clean.pixels, faulty.pixels])
    patches = make_patches(
        pixels * gains[index].astype(pixels.dtype)[:, None, None],
        images=images,
        origins_yx=np.concatenate([clean.origins_yx, faulty.origins_yx]),
        is_defect=np.concatenate([clean.is_defect, faulty.is_defect]),
        is_doubtful=np.concatenate([clean.is_doubtful, faulty.is_doubtful]),
    )
    kinds = np.concatenate([np.full(len(clean), "", kinds.dtype), kinds])
    found = evaluate(
        patches, kinds, (*PUBLISHED[:3], "dense-net", "lattice"), split="image", n_folds=5,
        random_split_too=True, false_alarms_per_image=1.0, seed=0,
    )  # fmt: skip
    return {
        "images": 10,
        "patches": len(patches),
        "leaks": [leak.said for leak in found.leaks if leak.is_suspicious],
        "methods": {
            r.method: {
                "random": {"roc": r.flattered.roc_auc.value, "pr": r.flattered.pr_auc.value},
                "unseen": {"roc": r.measured.roc_auc.value, "pr": r.measured.pr_auc.value},
            }
            for r in found.results
            if r.flattered is not None
        },
    }


def neighbours() -> dict[str, Any]:
    """Compare nearest neighbours by products with naive differences, on PatchCore's sizes."""
    import torch

    from pipelines.defects.nearest import nearest

    rng = torch.Generator().manual_seed(0)
    queries, bank = torch.randn(16_384, 96, generator=rng), torch.randn(1500, 96, generator=rng)

    def naive() -> Any:
        parts = [(bank[None] - q[:, None]).norm(dim=2).min(dim=1) for q in queries.split(64)]
        return torch.cat([part.indices for part in parts])

    with torch.inference_mode():
        ours_s, (_, rows) = seconds(lambda: nearest(queries, bank))
        naive_s, expected = seconds(naive)
    return {
        "ours_s": ours_s,
        "naive_s": naive_s,
        "equal": bool((rows[:, 0] == expected).all()),
        "queries": len(queries),
        "bank": len(bank),
    }


def streaming(n_patches: int = 100_000) -> dict[str, Any]:
    """Compare a stream of mosaics on one Ray actor with the bare model on patches in memory."""
    from cluster.resources import ActorPool
    from cluster.session import connect
    from pipelines.defects.flow import score_on_ray
    from pipelines.defects.work import plan_jobs
    from pipelines.mosaic.ome_zarr import write_mosaic
    from pipelines.simulation.honeycomb_image import Imaging, simulate_lattice

    image = simulate_lattice((2048, 2048), {"vacancy": 10}, Imaging(), seed=3, index=0).grey
    origins = plan_grid(image.shape, patch_px=PATCH_PX, stride_px=PATCH_PX)
    n_mosaics = -(-n_patches // len(origins))
    learn, _ = draw(8, snr=3.0, first=10_000)
    detector = get_detector("lattice")
    model = fit_detector(detector, feed(detector, learn), seed=0)
    names = np.repeat("mosaic", len(origins))
    patches = make_patches(cut(image, origins, PATCH_PX), images=names, origins_yx=origins)
    detector.score(model, patches)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for i in range(n_mosaics):
            write_mosaic(folder / f"m{i:03d}.ome.zarr", image, pixel_size_nm=0.02)
        write_defect_model(folder / "model", model)
        jobs = plan_jobs(sorted(folder.glob("*.ome.zarr")))
        with connect("local", num_cpus=2):
            pool = ActorPool(1)
            list(score_on_ray(folder / "model", jobs[:1], stride_px=PATCH_PX, pool=pool))
            # In turns, so that what else the machine does meets both.
            bare_s = stream_s = 0.0
            n = 0
            for part in np.array_split(np.arange(len(jobs)), 4):
                own = [jobs[i] for i in part]
                bare_s += seconds(lambda own=own: [detector.score(model, patches) for _ in own])[0]
                took, scored = seconds(
                    lambda own=own: list(
                        score_on_ray(folder / "model", own, stride_px=PATCH_PX, pool=pool)
                    )
                )
                stream_s += took
                n += sum(len(each.found.scores) for each in scored if each.found)
    return {"patches": n, "bare_per_s": n / bare_s, "stream_per_s": n / stream_s}


def _parts() -> dict[str, Callable[[], dict[str, Any]]]:
    """Cut the work into parts of a minute or two each."""
    parts: dict[str, Callable[[], dict[str, Any]]] = {}
    for snr in (1.0, 1.5, 2.0, 3.0, 5.0, 10.0):
        n = N_TEST if snr in (1.5, 3.0, 5.0) else N_TEST // 2
        parts[f"snr-{snr:g}-lattice"] = partial(at_snr, snr, UNTRAINED[::2], n_test=n, n_learn=8)
        parts[f"snr-{snr:g}-fourier"] = partial(at_snr, snr, UNTRAINED[1:2], n_test=n, n_learn=8)
    for snr in (1.5, 3.0, 5.0):
        simple = (*REPAIRED[:2], *PUBLISHED[:2])
        parts[f"snr-{snr:g}-simple"] = partial(at_snr, snr, simple, n_test=N_TEST_TRAINED)
    for method in (*TRAINED, *REPAIRED[2:], *PUBLISHED[2:]):
        parts[f"snr-3-{method}"] = partial(at_snr, 3.0, (method,), n_test=N_TEST_TRAINED)
    for name, measured in (
        ("published", published_setting), ("neighbours", neighbours), ("streaming", streaming)
    ):  # fmt: skip
        parts[name] = measured
    return parts


PARTS = _parts()


def run() -> list[Measurement]:
    """Measure everything, and compare it with the goals."""
    return goals(remember({name: measure_part() for name, measure_part in PARTS.items()}))


def remember(parts: dict[str, Any]) -> dict[str, Any]:
    """Keep parts beside earlier ones, and write their tables."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name, found in parts.items():
        at = datetime.now(UTC).isoformat(timespec="minutes")
        results[name] = {"machine": machine(), "at": at, "found": found}
    results = {name: results[name] for name in PARTS if name in results}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    write_between_marks("defects", tables(results))
    write_between_marks("lattice", "\n".join(recall_table(by_dose(results), ("lattice",))))
    return results


def goals(results: dict[str, Any]) -> list[Measurement]:
    """Compare what was measured with what was wanted."""
    found = []
    doses = {dose["snr"]: dose["methods"] for dose in by_dose(results)}
    for snr, kinds in ((1.5, STRUCTURAL), (5.0, ("substitution",))):
        methods = doses.get(snr, {})
        if "lattice" not in methods:
            continue
        for kind in kinds:
            ours = methods["lattice"]["recall"][kind]["value"]
            peer = methods["blur-maximum"]["recall"][kind]["value"]
            found.append(
                Measurement(
                    f"recall of {kind} at 1 % false positives, unseen images, SNR {snr:g}",
                    f"{ours:.3f}",
                    f"{peer:.3f} (blur-maximum)",
                    ours,
                    "at least",
                    0.9,
                )
            )
    if "lattice" in doses.get(3.0, {}):
        methods = doses[3.0]
        ours, peer = (methods[m]["pr_auc"]["structural"]["value"] for m in UNTRAINED[::2])
        found.append(
            Measurement(
                "PR-AUC of vacancies, divacancies and Stone-Wales, unseen images, SNR 3",
                f"{ours:.3f}",
                f"{peer:.3f} (blur-maximum)",
                ours,
                "at least",
                0.9,
            )
        )
    if "neighbours" in results:
        n = results["neighbours"]["found"]
        name = f"nearest of {n['bank']:,} places for {n['queries']:,}, against naive differences"
        found.append(
            Measurement(
                f"{name}, equal result: {n['equal']}",
                f"{n['ours_s']:.2f} s",
                f"{n['naive_s']:.2f} s",
                n["naive_s"] / n["ours_s"],
                "at least",
                3.0,
            )
        )
    if "streaming" in results:
        s = results["streaming"]["found"]
        found.append(
            Measurement(
                f"score {s['patches']:,} patches of 64² streamed from mosaics, against in memory",
                f"{s['stream_per_s']:,.0f}/s",
                f"{s['bare_per_s']:,.0f}/s",
                s["stream_per_s"] / s["bare_per_s"],
                "at least",
                0.8,
            )
        )
    return found


def seconds(work: Any) -> tuple[float, Any]:
    begun = time.perf_counter()
    result = work()
    return time.perf_counter() - begun, result


def main() -> None:
    chosen = sys.argv[1:] if sys.argv[1:] != ["all"] else list(PARTS)
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in chosen:
        # Kept one by one: a long part that fails takes none with it.
        results = remember({name: PARTS[name]()})
    keep(goals(results), "defects")


if __name__ == "__main__":
    main()
