from pipelines.archive import create_archive
from pipelines.ledger import Entry, append_entries, ledger_writer, read_entries, work_key


def test_the_newest_entry_of_a_key_counts(tmp_path):
    archive = create_archive(tmp_path / "a")

    append_entries(archive, [Entry("k", "segment", "m", "0", status="quarantined", reason="bad")])
    append_entries(archive, [Entry("k", "segment", "m", "0"), Entry("j", "ingest", "m", "0")])

    assert set(read_entries(archive, "segment")) == {"k"}
    assert read_entries(archive, "segment")["k"].status == "done"
    assert read_entries(archive, "segment", status="quarantined") == {}


def test_what_was_added_is_committed_when_the_work_fails(tmp_path):
    archive = create_archive(tmp_path / "a")

    try:
        with ledger_writer(archive) as writer:
            writer.add(Entry("k", "segment", "m", "0"))
            raise RuntimeError
    except RuntimeError:
        pass

    assert set(read_entries(archive, "segment")) == {"k"}


def test_the_key_changes_with_everything_that_changes_the_result():
    base = ("segment", 1, "d1", {"a": 1}, [0, 0])
    others = [
        ("ingest", 1, "d1", {"a": 1}, [0, 0]),
        ("segment", 2, "d1", {"a": 1}, [0, 0]),
        ("segment", 1, "d2", {"a": 1}, [0, 0]),
        ("segment", 1, "d1", {"a": 2}, [0, 0]),
        ("segment", 1, "d1", {"a": 1}, [0, 1]),
    ]

    assert len({work_key(*arguments) for arguments in [base, *others]}) == 6


def test_entries_can_be_read_of_some_mosaics_or_of_one_unit_alone(tmp_path):
    archive = create_archive(tmp_path / "a")
    append_entries(
        archive,
        [
            Entry("a-tile", "segment", "a", "tile"),
            Entry("a-whole", "segment", "a", "mosaic"),
            Entry("b-tile", "segment", "b", "tile"),
        ],
    )

    assert set(read_entries(archive, "segment", mosaics=["a"])) == {"a-tile", "a-whole"}
    assert set(read_entries(archive, "segment", unit="mosaic")) == {"a-whole"}
    assert read_entries(archive, "segment", mosaics=[]) == {}
