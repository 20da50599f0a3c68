from concurrent.futures import ThreadPoolExecutor

import pytest

from pipelines import appending, commits
from pipelines.archive import create_archive, open_archive
from pipelines.buckets import opening
from pipelines.buckets.refusals import BucketError
from pipelines.errors import ArchiveError
from pipelines.ledger import Entry, LedgerWriter, append_entries, read_entries
from pipelines.places import place
from pipelines.tables import has_table, read_rows, replace_rows, table_version
from tests.object_store import KEY_ID, SECRET

every_kind = pytest.mark.parametrize("store", ["s3", "gs", "az"], indirect=True)


@pytest.fixture
def archive(address):
    return create_archive(place(f"{address}/lab"))


def append(archive, *units):
    append_entries(archive, [Entry(f"key-{unit}", "segment", "m", unit) for unit in units])


@every_kind
def test_a_table_in_a_bucket_is_as_one_in_a_folder(archive, tmp_path):
    folder = create_archive(tmp_path / "a")
    for each in (archive, folder):
        assert not has_table(each, "ledger")
        append(each, "a", "b")
        rows = read_rows(each, "ledger", filters=[("unit", "=", "b")])
        replace_rows(each, "ledger", rows, where="mosaic = 'm'")

    assert table_version(archive, "ledger") == table_version(folder, "ledger") == 1
    assert read_entries(archive, "segment") == read_entries(folder, "segment")
    assert read_entries(archive, "segment").keys() == {"key-b"}


@every_kind
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("answer", [{}, {"answer": 500}], ids=["no answer", "answered 500"])
def test_a_commit_whose_answer_is_lost_is_done_once(archive, store, when, answer):
    append(archive, "a")

    with store.faults(cut="_delta_log", when=when, **answer) as done:
        append(archive, "b", "c")
        assert done()["cut"] == 1

    assert read_rows(archive, "ledger")["unit"].to_pylist().count("b") == 1
    assert read_rows(archive, "ledger").num_rows == 3


@every_kind
@pytest.mark.parametrize("when", ["before", "after"])
def test_rows_that_are_replaced_while_the_line_breaks_are_replaced_once(
    archive,
    store,
    when,
):
    append(archive, "a", "b")
    rows = read_rows(archive, "ledger", filters=[("unit", "=", "b")])

    with store.faults(cut="_delta_log", when=when) as done:
        replace_rows(archive, "ledger", rows, where="mosaic = 'm'")
        assert done()["cut"] == 1

    assert read_rows(archive, "ledger").to_pylist() == rows.to_pylist()


@every_kind
def test_a_line_that_stays_cut_leaves_the_table_as_it_was(archive, store, monkeypatch):
    monkeypatch.setattr(commits, "PAUSE_S", 0)
    monkeypatch.setattr(opening, "RETRIES", 0)
    append(archive, "a")

    with (
        store.faults(cut="_delta_log", when="before", times=1000),
        pytest.raises(BucketError, match=f"the object store at {store.endpoint}"),
    ):
        append(archive, "b")

    assert read_entries(archive, "segment").keys() == {"key-a"}


@every_kind
def test_commits_of_several_writers_all_count(archive):
    append(archive, "first")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda unit: append(archive, unit), "abcd"))

    assert len(read_entries(archive, "segment")) == 5


@every_kind
def test_commits_survive_a_bad_day(archive, store):
    with store.faults(rate=0.05, seed=3) as done:
        for unit in "abcdefgh":
            append(archive, unit)
        counts = done()

    assert sum(counts[fault] for fault in ("500", "503", "slow", "gone")) > 0
    assert read_rows(archive, "ledger").num_rows == 8


@every_kind
def test_nothing_is_committed_once_a_guard_says_no(archive, tmp_path):
    def refuse():
        raise RuntimeError("not ours any more")

    for each in (archive, create_archive(tmp_path / "a")):
        with commits.guarded(refuse), pytest.raises(RuntimeError, match="not ours"):
            append(each, "a")
        assert not has_table(each, "ledger")


def refusal(url):
    with pytest.raises(ArchiveError) as refused:
        open_archive(place(url))
    return str(refused.value)


def test_what_is_missing_to_reach_a_bucket_is_said_in_a_line(bucket, monkeypatch):
    url = f"s3://{bucket}/lab"

    assert refusal(url) == f"archive {url} does not exist"
    assert "bucket no-such-bucket does not exist" in refusal("s3://no-such-bucket/lab")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "false")
    assert "is not encrypted; if that is meant, set AWS_ALLOW_HTTP=true" in refusal(url)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert "http://127.0.0.1:9 cannot be reached" in refusal(url)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert "needs credentials: set AWS_ACCESS_KEY_ID" in refusal(url)


def test_a_prefix_that_holds_something_else_is_left_alone(bucket):
    place(f"s3://{bucket}/lab/notes.txt").write_text("mine")

    with pytest.raises(ArchiveError, match="exists and is not an archive"):
        create_archive(place(f"s3://{bucket}/lab"))


def test_a_profile_says_who_we_are_where_no_variable_does(bucket, store, monkeypatch, tmp_path):
    credentials = tmp_path / "credentials"
    credentials.write_text(
        f"[lab]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    url = place(f"s3://{bucket}/lab")

    with pytest.raises(ArchiveError, match="AWS_PROFILE: profile default has no credentials"):
        create_archive(url)
    monkeypatch.setenv("AWS_PROFILE", "lab")
    archive = create_archive(url)
    append(archive, "a")

    assert read_entries(archive, "segment").keys() == {"key-a"}


@pytest.mark.parametrize("when", ["before", "after"])
def test_files_that_cannot_be_joined_are_not_joined_and_nothing_is_lost(
    archive, store, monkeypatch, when
):
    monkeypatch.setattr(appending, "MAX_SMALL_FILES", 3)
    monkeypatch.setattr(appending.Appender, "_open", cut_when_opened(store, when))
    writer = LedgerWriter(archive, every_n=1)

    with store.faults() as done:
        for unit in "abcdefghi":
            writer.add(Entry(f"key-{unit}", "segment", "m", unit))
        assert done()["cut"] == 1

    assert sorted(read_rows(archive, "ledger")["unit"].to_pylist()) == list("abcdefghi")


def cut_when_opened(store, when):
    """Let the line break at the first commit after the table was opened to be joined."""
    plain = appending.Appender._open

    def open_and_cut(self):
        plain(self)
        if self._n_small >= 3:
            store.control({"cut": "_delta_log", "when": when, "times": 1})

    return open_and_cut
