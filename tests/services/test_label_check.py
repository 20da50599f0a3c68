import json
import re

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.archive import create_archive
from pipelines.labels.table import FOLLOWERS, digest_labels, digest_labels_at_once
from pipelines.schemas import LABELS
from pipelines.tables import to_table
from services import label_store
from services.label_check import verify_versions
from services.label_store import commit_labels, current_version, read_labels, rollback

WHO = {"author": "ada", "run_id": "r1", "code_version": "0.1"}


def row(instance, label="right", state="given", mosaic="m"):
    return {
        "particle_id": {"m": 0, "n": 1000}[mosaic] + instance,
        "mosaic": mosaic,
        "instance": instance,
        "segmentation": "s1",
        "label": label,
        "state": state,
        "source": "rules",
        "method": "majority",
    }


def commit(archive, *rows, **more):
    return commit_labels(
        archive, to_table("labels", list(rows)), **{"method": "rules", **WHO, **more}
    )


@pytest.fixture
def archive(tmp_path):
    archive = create_archive(tmp_path / "a")
    commit(archive, row(1), row(2), row(3, mosaic="n"))
    commit(archive, row(1, "left", "proposed"))
    commit(archive, row(1, "left", "accepted"))
    return archive


def log(archive, version):
    return archive.table("labels") / "_delta_log" / f"{version:020d}.json"


def edit_commit(archive, version, **values):
    lines = [json.loads(line) for line in log(archive, version).read_text().splitlines()]
    for action in lines:
        if "commitInfo" in action:
            action["commitInfo"] |= values
    log(archive, version).write_text("\n".join(json.dumps(line) for line in lines) + "\n")


def files_of(archive, version):
    names = deltalake.DeltaTable(str(archive.table("labels")), version=version).file_uris()
    return [archive.table("labels") / name.rsplit("/", 1)[1] for name in names]


def test_an_archive_without_labels_has_nothing_wrong_with_it(tmp_path):
    assert verify_versions(create_archive(tmp_path / "a")).damaged_version is None


def test_every_version_of_an_honest_history_matches(archive):
    seen = []

    found = verify_versions(archive, on_commit=lambda done, total: seen.append((done, total)))

    assert (found.n_versions, found.damaged_version, found.n_unsealed) == (3, None, 0)
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_rows_that_were_changed_in_a_file_are_found_in_the_first_version_that_has_them(archive):
    (own,) = set(files_of(archive, 1)) - set(files_of(archive, 0))
    rows = pq.read_table(own)
    place = rows.schema.get_field_index("state")
    changed = rows.set_column(place, "state", pa.array(["released"] * rows.num_rows))
    pq.write_table(changed, own)

    found = verify_versions(archive)

    assert found.damaged_version == 1
    assert "its rows have digest" in found.damage


@pytest.mark.parametrize("harm", ["delete", "cut"])
def test_a_data_file_that_cannot_be_read_is_named(archive, harm):
    (own,) = set(files_of(archive, 1)) - set(files_of(archive, 0))
    own.unlink() if harm == "delete" else own.write_bytes(own.read_bytes()[:100])

    found = verify_versions(archive)

    assert found.damaged_version == 1
    assert f"its data file {own.name} cannot be read" in found.damage


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"author": "eve"}, "its seal is broken"),
        ({"rules": '{"error_rate": 0.0}'}, "its seal is broken"),
        ({"n_rows": "7"}, "it has 3 rows, 3 with a label, and says 7 and 3"),
        ({"digest": "0" * 32}, "it says " + "0" * 32),
        ({"parent_version": "7"}, "its parent is version 0 of digest .* it says 7"),
        ({"seal": ""}, "it has no seal, and its parent has one"),
        ({"at": "yesterday"}, "what it says of itself cannot be read"),
    ],
)
def test_what_a_commit_says_of_itself_cannot_be_changed_unseen(archive, values, message):
    edit_commit(archive, 1, **values)

    found = verify_versions(archive)

    assert found.damaged_version == 1
    assert re.search(message, found.damage)


def test_a_commit_that_is_missing_is_found(archive):
    log(archive, 1).unlink()

    assert verify_versions(archive).damaged_version == 1


def test_rows_that_delta_changed_without_a_version_are_found(archive):
    deltalake.DeltaTable(str(archive.table("labels"))).delete("particle_id = 2")

    found = verify_versions(archive)

    assert (found.damaged_version, found.n_versions) == (3, 3)
    assert found.damage == "rows were changed by a commit that is no label version"


def test_deltas_own_upkeep_is_no_damage(archive):
    table = deltalake.DeltaTable(str(archive.table("labels")))
    table.optimize.compact()
    table.create_checkpoint()
    commit(archive, row(2, "left", "accepted"))

    assert verify_versions(archive).damaged_version is None


def test_versions_from_before_digests_followed_changes_are_checked_too(tmp_path):
    archive = create_archive(tmp_path / "a")
    rows = to_table("labels", [row(1), row(2, None)])
    said = {
        "digest": digest_labels_at_once(rows),
        "parent_version": "",
        "parent_digest": "",
        "method": "rules",
        "author": "ada",
        "run_id": "",
        "model_uri": "",
        "code_version": "0.1",
        "mosaics": '["m"]',
        "n_rows": "2",
        "n_labelled": "1",
        "at": "2026-01-01T00:00:00+00:00",
        "rules": "{}",
    }
    deltalake.write_deltalake(
        str(archive.table("labels")),
        rows,
        commit_properties=deltalake.CommitProperties(custom_metadata=said),
    )

    made = commit(archive, row(1, "left", "accepted"))

    assert digest_labels(read_labels(archive, with_unlabelled=True)) == made.digest
    found = verify_versions(archive)
    assert (found.n_versions, found.damaged_version, found.n_unsealed) == (2, None, 1)
    edit_commit(archive, 0, digest="0" * 32)
    assert verify_versions(archive).damaged_version == 0


def test_a_rollback_brings_back_the_rows_as_a_new_version(archive):
    first, newest = label_store.find_version(archive, 0), current_version(archive)

    made = rollback(archive, 0, author="bob", code_version="0.1")

    assert (made.version, made.parent_version, made.method) == (3, newest.version, "rollback")
    assert made.digest == first.digest != newest.digest
    assert made.rules == {"restored_version": 0, "restored_digest": first.digest}
    assert read_labels(archive).equals(read_labels(archive, 0))
    assert read_labels(archive, 2)["state"].to_pylist() == ["accepted", "given", "given"]


def test_a_rollback_to_what_is_there_makes_no_version(archive):
    made = rollback(archive, 2, author="bob", code_version="0.1")

    assert (made.version, made.is_new) == (2, False)


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("commit"),
            st.dictionaries(
                st.tuples(st.sampled_from("mn"), st.integers(1, 3)),
                st.tuples(st.sampled_from(["left", "right"]), st.sampled_from(sorted(FOLLOWERS))),
                min_size=1,
            ),
        ),
        st.tuples(st.just("anew"), st.sampled_from("mn")),
        st.tuples(st.just("rollback"), st.integers(0, 5)),
    ),
    min_size=1,
    max_size=6,
)


@given(steps=STEPS)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_sequence_of_commits_and_rollbacks_can_be_verified(tmp_path_factory, steps):
    archive = create_archive(tmp_path_factory.mktemp("any") / "a")
    contents = {}

    for kind, what in steps:
        try:
            if kind == "commit":
                made = commit(archive, *(row(i, *said, mosaic=m) for (m, i), said in what.items()))
            elif kind == "anew":
                made = commit(archive, row(2, "left", mosaic=what), mosaics=[what])
            else:
                made = rollback(archive, what, author="bob", code_version="0.1")
        except label_store.LabelError:
            continue
        contents[made.version] = read_labels(archive, made.version, with_unlabelled=True)
        assert made.digest == digest_labels(contents[made.version])

    found = verify_versions(archive)
    assert (found.damaged_version, found.n_versions) == (None, len(contents))
    for version, rows in contents.items():
        assert read_labels(archive, version, with_unlabelled=True).equals(rows)
        assert rows.schema == LABELS
