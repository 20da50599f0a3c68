import pickle
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from pipelines.buckets.opening import bucket_store
from pipelines.buckets.refusals import BucketError
from pipelines.errors import ArchiveError
from pipelines.places import copy_tree, local_folder, move, place, remove_tree

every_kind = pytest.mark.parametrize("store", ["s3", "gs", "az"], indirect=True)


@pytest.fixture
def root(address):
    return place(f"{address}/lab")


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_an_address_stays_an_address_on_every_way(scheme):
    path = place(f"{scheme}://scans/2026/") / "tables"

    assert f"{path}" == path.as_posix() == path.as_uri() == f"{scheme}://scans/2026/tables"
    assert path.parent == place(f"{scheme}://scans/2026")
    assert str(path.relative_to(path.parent)) == "tables"
    assert str(path.absolute()) == str(path.resolve()) == str(path)
    assert str(pickle.loads(pickle.dumps(path))) == str(path)
    assert str(place(Path(f"{scheme}://scans/2026"))) == f"{scheme}://scans/2026"


def test_a_folder_stays_a_plain_path(tmp_path):
    assert type(place(tmp_path)) is type(place("a/b")) is type(Path("a"))


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ("hdfs://scans/2026", "gs://BUCKET/PREFIX or az://CONTAINER/PREFIX, got hdfs://scans"),
        ("https://lab.org/scans", "an archive is a folder, s3://BUCKET/PREFIX"),
        ("s3://ada:lovelace@scans/2026", "a user or password; set AWS_ACCESS_KEY_ID"),
        ("gs://ada:lovelace@scans/2026", "a user or password; set GOOGLE_APPLICATION_CREDENTIALS"),
        ("az://scans@lab.blob.core.windows.net", "a user or password; set AZURE_STORAGE_ACCOUNT"),
        ("ftp://ada:lovelace@scans/2026", "must not hold a user or password$"),
        ("s3://Scans/2026", "a bucket's name must be 3 to 63"),
        ("s3://", "a bucket's name must be 3 to 63"),
        ("s3://scans_1/2026", "must be 3 to 63 of a-z 0-9 . - as in s3://BUCKET/PREFIX"),
        ("gs://scans..1/2026", "must be 3 to 63 of a-z 0-9 . _ - as in gs://BUCKET/PREFIX"),
        ("az://scans.1/2026", "container's name must be 3 to 63 of a-z 0-9 and single - as in az:"),
        ("az://scans--1/2026", "must be 3 to 63 of a-z 0-9 and single -"),
        ("az://" + 64 * "a", "must be 3 to 63 of a-z 0-9 and single -"),
        ("s3://scans/../others", "prefix must be plain names"),
        ("s3://scans/2026?versionId=1", "prefix must be plain names"),
    ],
)
def test_what_leads_to_no_bucket_is_refused(given, rule):
    with pytest.raises(ArchiveError, match=rule) as refused:
        place(given)

    assert "lovelace" not in str(refused.value)


@every_kind
def test_objects_are_written_read_listed_and_removed(root):
    (root / "a.txt").write_text("ä\n", encoding="utf-8")
    (root / "deep" / "er" / "b.bin").write_bytes(b"\0\1")

    assert (root / "a.txt").read_text(encoding="utf-8") == "ä\n"
    assert (root / "deep" / "er" / "b.bin").read_bytes() == b"\0\1"
    assert [entry.name for entry in root.iterdir()] == ["a.txt", "deep"]
    assert [str(entry)[len(str(root)) :] for entry in root.rglob("*.bin")] == ["/deep/er/b.bin"]
    assert list(root.glob("*/er")) == [root / "deep" / "er"]
    assert (root / "deep").is_dir()
    assert not (root / "deep").is_file()
    assert not (root / "de").exists()
    (root / "a.txt").unlink()
    assert [entry.name for entry in root.iterdir()] == ["deep"]


@every_kind
def test_what_is_not_there_is_told_as_by_a_folder(root):
    path = root / "missing"

    with pytest.raises(FileNotFoundError, match="No such object"):
        path.read_bytes()
    with pytest.raises(FileNotFoundError):
        path.unlink()
    path.unlink(missing_ok=True)
    assert list(path.iterdir()) == []


@every_kind
def test_a_file_is_there_once_it_is_closed_and_not_after_an_error(root):
    path = root / "table.csv"

    with path.open("w", encoding="utf-8") as file:
        file.write("a,b\n")
        assert not path.exists()
    with suppress(RuntimeError), path.open("w", encoding="utf-8") as file:
        file.write("half a li")
        raise RuntimeError
    with path.open("ab") as file:
        file.write(b"1,2\n")

    with path.open(encoding="utf-8") as file:
        assert file.read() == "a,b\n1,2\n"


@every_kind
def test_a_library_that_wants_a_file_does_not_make_one_of_a_strange_name(
    root, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(TypeError, match="lies in a bucket"):
        np.save(root / "a.npy", np.zeros(3))

    assert list(tmp_path.iterdir()) == []


@every_kind
def test_a_folder_moves_into_a_bucket_and_within_it(root, tmp_path):
    made = tmp_path / "m.ome.zarr"
    (made / "0" / "c").mkdir(parents=True)
    (made / "zarr.json").write_text("{}")
    (made / "0" / "zarr.json").write_text("[]")
    (made / "0" / "c" / "0").write_bytes(b"pixels")

    (root / "m" / "of-another").write_text("left by a move that was killed")

    move(made, root / "m")
    move(root / "m", root / "n")

    assert not made.exists()
    assert not (root / "m").exists()
    assert sorted((root / "n").objects()) == ["0/c/0", "0/zarr.json", "zarr.json"]
    assert (root / "n" / "0" / "c" / "0").read_bytes() == b"pixels"
    remove_tree(root / "n")
    assert not (root / "n").exists()


@every_kind
def test_a_folder_in_a_bucket_is_copied_to_this_machine(root, tmp_path):
    for name in ("zarr.json", "0/zarr.json", "0/c/0/0", "labels/zarr.json", "labels/a/0/c/0"):
        (root / name).write_text(name)

    copy_tree(root, tmp_path / "copy", ignore=lambda folder, names: {"labels"} & set(names))

    copied = [path for path in (tmp_path / "copy").rglob("*") if path.is_file()]
    names = sorted(path.relative_to(tmp_path / "copy").as_posix() for path in copied)
    assert names == ["0/c/0/0", "0/zarr.json", "zarr.json"]
    assert (tmp_path / "copy" / "0" / "c" / "0" / "0").read_text() == "0/c/0/0"


@every_kind
def test_a_bucket_that_is_not_there_is_named(root):
    with pytest.raises(BucketError, match=f"{root.bucket.WORD} no-such-bucket does not exist"):
        place(f"{root.bucket.SCHEME}://no-such-bucket/a").read_bytes()


def test_every_archive_has_a_local_folder_of_its_own(monkeypatch, tmp_path):
    monkeypatch.setenv("TESSERA_SCRATCH", str(tmp_path))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")

    here = local_folder(place("s3://scans/a"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:2")
    there = local_folder(place("s3://scans/a"))

    others = [local_folder(place(f"{scheme}://scans/a")) for scheme in ("gs", "az")]
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "another")
    others.append(local_folder(place("az://scans/a")))

    assert {folder.parent for folder in (here, there, *others)} == {tmp_path}
    assert len({here, there, *others}) == 5


def test_buckets_of_one_name_share_no_client(stores, monkeypatch):
    clients = []
    for scheme in ("s3", "gs", "az"):
        for name, value in stores(scheme).environment.items():
            monkeypatch.setenv(name, value)
        clients.append(type(bucket_store(place(f"{scheme}://scans").bucket)).__name__)

    assert clients == ["S3Store", "GCSStore", "AzureStore"]
