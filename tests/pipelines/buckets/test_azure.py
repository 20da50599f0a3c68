import base64

import pytest

from pipelines.archive import create_archive
from pipelines.buckets import azure
from pipelines.buckets.azure import AzureContainer
from pipelines.ledger import Entry, append_entries, read_entries
from pipelines.places import place
from tests.azure_requests import ACCOUNT, SIGNATURE

pytestmark = pytest.mark.parametrize("store", ["az"], indirect=True)
KEY = "AZURE_STORAGE_ACCOUNT_KEY"


def test_what_is_missing_to_reach_a_container_is_said_in_a_line(
    refusal, address, monkeypatch, tmp_path
):
    url = f"{address}/lab"

    assert refusal(url) == f"archive {url} does not exist"
    assert "container no-such-container does not exist" in refusal("az://no-such-container/lab")
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", "http://127.0.0.1:9")
    assert "http://127.0.0.1:9 cannot be reached" in refusal(url)
    monkeypatch.setenv("AZURE_ALLOW_HTTP", "false")
    assert "is not encrypted; if that is meant, set AZURE_ALLOW_HTTP=true" in refusal(url)
    monkeypatch.delenv(KEY)
    monkeypatch.setattr(azure, "_TAG", tmp_path / "no-asset-tag")
    assert "needs credentials: set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_" in refusal(url)


def test_the_key_of_another_is_refused(refusal, address, monkeypatch):
    monkeypatch.setenv(KEY, base64.b64encode(b"another").decode())

    said = refusal(f"{address}/lab")

    assert "the credentials in the environment are refused (AuthenticationFailed)" in said


def test_a_key_that_is_none_is_said_to_be_so(refusal, address, monkeypatch):
    monkeypatch.setenv(KEY, "lovelace!")

    said = refusal(f"{address}/lab")

    assert "the credentials in the environment cannot be used: Generic MicrosoftAzure" in said
    assert "Debug" not in said
    assert "lovelace" not in said


def test_a_shared_access_signature_is_enough_and_is_not_shown(refusal, address, store, monkeypatch):
    monkeypatch.delenv(KEY)
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", f"sv=2023-11-03&sp=rwdl&sig={SIGNATURE}")

    archive = create_archive(place(f"{address}/lab"))
    append_entries(archive, [Entry("key", "segment", "m", "a")])
    (archive.root / "a.txt").write_text("moved")
    (archive.root / "a.txt").replace(archive.root / "b.txt")

    assert read_entries(archive, "segment").keys() == {"key"}
    assert (archive.root / "b.txt").read_text() == "moved"
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "sv=2023-11-03&sp=rwdl&sig=of-another")
    said = refusal(f"{address}/lab")
    assert "are refused (AuthenticationFailed)" in said
    assert "of-another" not in said


def test_a_copy_that_is_late_is_waited_for(address, store):
    path = place(f"{address}/lab/a.bin")
    path.write_bytes(b"pixels")

    with store.faults(lazy=2):
        path.replace(path.with_name("b.bin"))

    assert path.with_name("b.bin").read_bytes() == b"pixels"
    assert not path.exists()


def test_an_object_of_many_parts_arrives_whole(address, rng):
    path = place(f"{address}/lab/shard")
    pixels = rng.bytes(11_000_000)

    path.write_bytes(pixels)

    assert path.read_bytes() == pixels


def test_azures_own_machines_know_who_they_are(store, monkeypatch, tmp_path):
    monkeypatch.setattr(azure, "_TAG", tmp_path / "chassis_asset_tag")
    (tmp_path / "chassis_asset_tag").write_text("7783-7084-3265-9085-8269-3286-77\n")

    assert not AzureContainer("scans").has_credentials()
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
    assert AzureContainer("scans").has_credentials()
    (tmp_path / "chassis_asset_tag").write_text("1\n")
    assert not AzureContainer("scans").has_credentials()


def test_the_emulator_needs_no_key_and_may_be_plain(refusal, store, monkeypatch):
    monkeypatch.setenv("AZURE_STORAGE_USE_EMULATOR", "true")
    monkeypatch.setenv("AZURITE_BLOB_STORAGE_URL", "http://127.0.0.1:9")

    said = refusal("az://scans/lab")

    assert said.endswith(
        "the object store at http://127.0.0.1:9/devstoreaccount1 cannot be reached"
    )
