"""Somebody has images of a lattice, knows of some defects in them, and wants to find the others."""

import json

from deltalake import DeltaTable


def test_from_simulated_images_to_a_ranked_list_of_defects(typed, tmp_path):
    images, archive = tmp_path / "lattices", tmp_path / "a"
    labels, sessions = images / "defects.csv", images / "sessions.csv"

    def result(*arguments):
        ran = typed(*arguments, "--json")
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    drawn = result(
        "defects", "simulate", images, "--images", 6, "--size-px", 256, "--session-count", 3,
        "--kind", "vacancy", "--kind", "divacancy", "--kind", "stone-wales", "--snr", 3,
        "--seed", 4,
    )  # fmt: skip
    result("ingest", images, "--archive", archive)
    fitted = result(
        "defects", "fit", "--archive", archive, "--labels", labels, "--sessions", sessions,
        "--hold-out", "lattice-000[45]",
    )  # fmt: skip
    scored = result("defects", "score", "--archive", archive, "--labels", labels)
    judged = result(
        "defects", "evaluate", "--archive", archive, "--labels", labels, "--sessions", sessions,
        "--split", "session", "--method", "lattice", "--method", "blur-maximum",
        "--no-random-split",
    )  # fmt: skip

    assert drawn["defects"] == 6
    assert fitted["method"] == "lattice"
    assert (scored["mosaics"], scored["patches"]) == (6, 96)
    rows = DeltaTable(str(archive / "tables" / "defects")).to_pyarrow_table().to_pylist()
    known = [row for row in rows if row["kind"]]
    assert {row["mosaic"] for row in known} == {f"lattice-{i:04d}" for i in range(6)}
    assert (archive / "defects" / "defects-1" / "lattice-0000.ome.zarr" / "zarr.json").is_file()
    assert judged["best"] == "lattice"
    assert judged["pr_auc"] > 0.9
    assert (archive / "reports" / "defects-evaluation.html").is_file()
