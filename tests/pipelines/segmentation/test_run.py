import json
from dataclasses import replace

import numpy as np
import pytest

from pipelines.archive import particle_id
from pipelines.errors import StorageFullError
from pipelines.ledger import QUARANTINED, ledger_writer, read_entries
from pipelines.mosaic.ome_zarr import has_instances, open_instances
from pipelines.quarantine import list_quarantine
from pipelines.records import Window
from pipelines.segmentation.plan import plan_segmentation
from pipelines.tables import read_rows, table_version

WHOLE = Window(0, 0, 200, 150)


@pytest.fixture
def image(here):
    return here.draw_discs((200, 150))


def particles(archive):
    return read_rows(archive, "particles").sort_by(
        [("mosaic", "ascending"), ("instance", "ascending")]
    )


def drop_seams(table):
    return table.drop_columns(["crosses_seam"])


def test_every_particle_has_one_id_one_row_and_its_measurements(archive, here, image):
    here.add_mosaic(archive, "m", image)

    (entry,), n_tiles = here.segment(archive)

    instances = open_instances(archive.mosaic("m")).read(WHOLE)
    rows = particles(archive)
    summary = json.loads(entry.result)
    assert n_tiles == 12
    assert rows["instance"].to_pylist() == list(range(1, 36))
    assert rows["particle_id"].to_pylist() == [particle_id("m", i) for i in range(1, 36)]
    assert np.unique(instances).tolist() == list(range(36))
    assert rows["area_px"].to_pylist() == np.bincount(instances.ravel())[1:].tolist()
    assert summary["instances"] == 35
    assert summary["crossing_seams"] == sum(rows["crosses_seam"].to_pylist()) > 0
    assert set(rows["segmentation"].to_pylist()) == {summary["digest"]}
    assert open_instances(archive.mosaic("m")).attributes["segmentation"] == summary["digest"]


def test_the_size_of_the_tiles_changes_nothing_that_can_be_seen(archive, tmp_path, here, image):
    here.add_mosaic(archive, "m", image)
    here.segment(archive)
    small = open_instances(archive.mosaic("m")).read(WHOLE), particles(archive)
    (archive.table("ledger")).rename(tmp_path / "forgotten")

    here.segment(archive, core_px=256, halo_px=500)

    assert np.array_equal(open_instances(archive.mosaic("m")).read(WHOLE), small[0])
    assert particles(archive).drop_columns(["crosses_seam"]) == small[1].drop_columns(
        ["crosses_seam"]
    )


def test_what_is_finished_is_left_alone(archive, here, image):
    here.add_mosaic(archive, "m", image)
    here.add_mosaic(archive, "small", image[:60, :60])
    here.segment(archive)
    version = table_version(archive, "particles"), table_version(archive, "ledger")

    entries, n_tiles = here.segment(archive)

    assert n_tiles == 0
    assert [entry.mosaic for entry in entries] == ["m", "small"]
    assert (table_version(archive, "particles"), table_version(archive, "ledger")) == version


def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(archive, here, image):
    here.add_mosaic(archive, "m", image)
    here.segment(archive)
    expected = here.instance_bytes(archive, "m"), particles(archive)
    again = type(archive)(archive.root.with_name("again"))
    again.mosaics.mkdir(parents=True)
    here.add_mosaic(again, "m", image)
    here.segment(again, stop_after=5)
    assert not has_instances(again.mosaic("m"))

    _, n_tiles = here.segment(again)

    assert n_tiles == 12 - 5
    assert here.instance_bytes(again, "m") == expected[0]
    assert particles(again) == expected[1]


def test_a_tile_whose_parts_are_lost_or_harmed_is_done_again(archive, here, image):
    here.add_mosaic(archive, "m", image)
    here.segment(archive, stop_after=5)
    files = sorted((archive.scratch / "segment").rglob("*.parts"))
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes()[:-1])

    _, n_tiles = here.segment(archive)

    assert n_tiles == 12 - 3


def test_parts_that_a_killed_run_did_not_record_are_used_and_recorded(
    archive, tmp_path, here, image
):
    here.add_mosaic(archive, "m", image)
    here.segment(archive, stop_after=5)
    archive.table("ledger").rename(tmp_path / "never-written")

    _, n_tiles = here.segment(archive)

    assert n_tiles == 12 - 5
    assert len(read_entries(archive, "segment", status="done")) == 12 + 1


def test_nothing_is_left_of_the_work_when_it_is_done(archive, here, image):
    here.add_mosaic(archive, "m", image)

    here.segment(archive)

    assert list((archive.scratch / "segment").iterdir()) == []


def test_another_segmentation_keeps_the_earlier_one_under_another_name(archive, here, image):
    here.add_mosaic(archive, "m", image)
    (first,), _ = here.segment(archive)
    before = open_instances(archive.mosaic("m")).read(WHOLE)

    (second,), _ = here.segment(archive, replace(here.settings, smooth_px=2.0))

    kept = f"instances-{json.loads(first.result)['digest'][:8]}"
    assert np.array_equal(open_instances(archive.mosaic("m"), kept).read(WHOLE), before)
    assert set(particles(archive)["segmentation"].to_pylist()) == {
        json.loads(second.result)["digest"]
    }


def test_only_the_rows_of_the_mosaic_at_hand_are_replaced(archive, here, image):
    here.add_mosaic(archive, "a", image)
    here.add_mosaic(archive, "b", image[:, ::-1])
    here.segment(archive)
    before = particles(archive)
    (archive.mosaic("a")).rename(archive.root / "away")

    here.segment(archive, replace(here.settings, smooth_px=2.0))

    after = particles(archive)
    assert after.filter([name == "a" for name in after["mosaic"].to_pylist()]).equals(
        before.filter([name == "a" for name in before["mosaic"].to_pylist()])
    )
    assert after != before


def test_without_a_pixel_size_there_are_no_nanometres(archive, here, image):
    here.add_mosaic(archive, "m", image, pixel_size_nm=None)

    here.segment(archive)

    assert particles(archive)["area_nm2"].null_count == 35
    assert particles(archive)["equivalent_diameter_nm"].null_count == 35


@pytest.mark.parametrize(
    ("dtype", "scale", "offset"),
    [("uint16", 200, 1000), ("float32", 1e-3, -0.05), ("uint8", -1, 250)],
)
def test_particles_of_any_dtype_and_sign_are_the_same(archive, here, image, dtype, scale, offset):
    here.add_mosaic(archive, "plain", image)
    here.add_mosaic(archive, "other", (image * float(scale) + offset).astype(dtype))

    here.segment(archive)

    plain, other = (
        open_instances(archive.mosaic(name)).read(WHOLE) > 0 for name in ("plain", "other")
    )
    rows = particles(archive).to_pylist()
    means = {
        name: [r["mean_intensity"] for r in rows if r["mosaic"] == name]
        for name in ("plain", "other")
    }
    assert len(means["other"]) == len(means["plain"]) == 35
    assert (plain != other).mean() < 0.005
    assert np.mean(means["other"]) == pytest.approx(
        np.mean(means["plain"]) * scale + offset, rel=0.01
    )
    assert min(r["contrast"] for r in rows) > 0


def test_a_mosaic_without_particles_is_finished_too(archive, here):
    here.add_mosaic(archive, "m", np.full((130, 130), 9, dtype=np.uint8))

    (entry,), _ = here.segment(archive)

    assert json.loads(entry.result)["instances"] == 0
    assert not open_instances(archive.mosaic("m")).read(Window(0, 0, 130, 130)).any()


@pytest.fixture
def poisoned(here):
    return replace(here.settings, method=here.poison)


def test_a_tile_that_fails_ends_in_quarantine_and_the_rest_goes_on(archive, here, image, poisoned):
    image[100, 140] = 251
    here.add_mosaic(archive, "m", image)

    (entry,), n_tiles = here.segment(archive, poisoned)

    lost = [e for e in read_entries(archive, "segment").values() if e.status == QUARANTINED]
    gaps = json.loads(entry.result)["gaps"]
    assert n_tiles == 12
    assert {e.reason for e in lost} == {"ValueError: poisoned"}
    assert {e.attempts for e in lost} == {3}
    assert len(gaps) == len(lost) == len(list_quarantine(archive))
    instances = open_instances(archive.mosaic("m")).read(WHOLE)
    for y0, x0, y1, x1 in gaps:
        assert not instances[y0:y1, x0:x1].any()
    assert (instances > 0).any()
    rows = particles(archive)
    assert rows["instance"].to_pylist() == list(range(1, rows.num_rows + 1))


def test_a_particle_at_a_missing_tile_touches_an_edge(archive, here, image, poisoned):
    image[100, 140] = 251
    here.add_mosaic(archive, "m", image)

    (entry,), _ = here.segment(archive, poisoned)

    gaps = json.loads(entry.result)["gaps"]
    flagged = {r["instance"] for r in particles(archive).to_pylist() if r["touches_edge"]}
    instances = open_instances(archive.mosaic("m")).read(WHOLE)
    beside: set[int] = set()
    for y0, x0, y1, x1 in gaps:
        ring = instances[max(y0 - 1, 0) : y1 + 1, max(x0 - 1, 0) : x1 + 1]
        beside |= set(np.unique(ring).tolist()) - {0}
    assert beside
    assert beside <= flagged


def test_quarantined_tiles_wait_until_they_are_asked_for(archive, here, image, poisoned):
    here.add_mosaic(archive, "clean", image)
    here.segment(archive, poisoned)
    expected = here.instance_bytes(archive, "clean")
    poison = archive.root / "poison.py"
    poison.write_text(POISON_SWITCH.format(flag=str(archive.root / "flag")))
    (archive.root / "flag").touch()
    switched = replace(here.settings, method=f"{poison}:METHOD")
    first, n_first = here.segment(archive, switched)
    (archive.root / "flag").unlink()

    again, n_again = here.segment(archive, switched)
    healed, n_healed = here.segment(archive, switched, retry_quarantined=True)

    assert (n_first, n_again, n_healed) == (12, 0, 1)
    assert json.loads(first[0].result) == json.loads(again[0].result)
    assert json.loads(healed[0].result)["gaps"] == []
    assert list_quarantine(archive) == []
    shards = {k: v for k, v in here.instance_bytes(archive, "clean").items() if "/c/" in k}
    assert shards == {k: v for k, v in expected.items() if "/c/" in k}


POISON_SWITCH = """
from pathlib import Path
from pipelines.segmentation.methods.otsu import Otsu

class Switched(Otsu):
    def heights(self, image, window, survey, settings):
        if Path({flag!r}).exists() and window.y0 == 0 and window.x0 == 0:
            if window.x1 < 110 and window.y1 < 110:
                raise ValueError("poisoned")
        return super().heights(image, window, survey, settings)

METHOD = Switched()
"""


def test_a_full_disk_stops_the_run_and_quarantines_nothing(archive, here, image, poisoned):
    image[10, 10] = 253
    here.add_mosaic(archive, "m", image)

    with pytest.raises(StorageFullError, match="is full; make room"):
        here.segment(archive, poisoned)

    assert list_quarantine(archive) == []
    assert read_entries(archive, "segment", status=QUARANTINED) == {}


def test_mosaics_of_the_same_pixels_have_particles_of_their_own(archive, here, image):
    for name in ("one", "two"):
        here.add_mosaic(archive, name, image)
        here.add_mosaic(archive, f"small-{name}", image[:60, :60])

    entries, n_tiles = here.segment(archive)

    assert n_tiles == 2 * (12 + 1)
    assert sorted(entry.mosaic for entry in entries) == ["one", "small-one", "small-two", "two"]
    names = particles(archive)["mosaic"].to_pylist()
    assert names.count("one") == names.count("two") == 35
    assert here.instance_bytes(archive, "one") == here.instance_bytes(archive, "two")
    assert here.segment(archive)[1] == 0


def test_particles_do_not_depend_on_other_mosaics(archive, here, image):
    here.add_mosaic(archive, "b", image)
    here.segment(archive)
    alone = particles(archive)
    here.add_mosaic(archive, "a", 255 - image)

    here.segment(archive)

    rows = particles(archive)
    assert rows.filter([name == "b" for name in rows["mosaic"].to_pylist()]).equals(alone)


def test_a_plan_says_what_is_left(archive, here, image):
    here.add_mosaic(archive, "m", image)
    here.segment(archive, stop_after=5)

    plan = plan_segmentation(archive, ["m"], here.settings, core_px=64)

    assert (plan.n_tiles, plan.n_tiles_left, len(plan.finished)) == (12, 7, 0)


def test_work_that_is_handed_out_in_waves_ends_with_the_same_bytes(archive, here, image, tmp_path):
    again = type(archive)(tmp_path / "again")
    again.mosaics.mkdir(parents=True)
    for place in (archive, again):
        here.add_mosaic(place, "a", image)
        here.add_mosaic(place, "b", image[:100])
        here.add_mosaic(place, "small", image[:60, :60])
    here.segment(archive)

    _, n_tiles = here.segment(again, at_once=5)

    assert n_tiles == 12 + 6 + 1
    assert here.instance_bytes(again, "a") == here.instance_bytes(archive, "a")
    assert here.instance_bytes(again, "b") == here.instance_bytes(archive, "b")
    assert particles(again) == particles(archive)


def test_finished_mosaics_are_forgotten_and_a_late_result_of_one_changes_nothing(
    archive, here, image
):
    here.add_mosaic(archive, "m", image[:60, :60])
    plan = plan_segmentation(archive, ["m"], here.settings, core_px=64)
    run = here.run(archive, plan)
    (job,) = run.jobs()
    result = here.work(plan, job)
    with ledger_writer(archive) as ledger:
        run.take(job, result, ledger)
        run.take(job, result, ledger)

    assert (run.n_left, run.jobs()) == (0, [])
    run.commits.flush()
    assert len(run.commits.entries) == 1
