import json

import pytest

from pipelines.archive import create_archive
from pipelines.buckets import google
from pipelines.buckets.google import GoogleBucket
from pipelines.ledger import Entry, append_entries, read_entries
from pipelines.places import place
from tests.google_store import private_pem, service_account, signing_key

pytestmark = pytest.mark.parametrize("store", ["gs"], indirect=True)
KEY = "GOOGLE_SERVICE_ACCOUNT_KEY"


def test_what_is_missing_to_reach_a_bucket_is_said_in_a_line(
    refusal, address, monkeypatch, tmp_path
):
    url = f"{address}/lab"

    assert refusal(url) == f"archive {url} does not exist"
    assert "bucket no-such-bucket does not exist" in refusal("gs://no-such-bucket/lab")
    monkeypatch.setenv("GOOGLE_BASE_URL", "http://127.0.0.1:9")
    assert "http://127.0.0.1:9 cannot be reached" in refusal(url)
    monkeypatch.setenv("GOOGLE_ALLOW_HTTP", "false")
    assert "is not encrypted; if that is meant, set GOOGLE_ALLOW_HTTP=true" in refusal(url)
    monkeypatch.delenv(KEY)
    monkeypatch.setattr(google, "_MAKER", tmp_path / "no-product-name")
    assert "needs credentials: set GOOGLE_APPLICATION_CREDENTIALS, GOOGLE_SERV" in refusal(url)


def test_the_key_of_another_is_refused(refusal, address, store, monkeypatch):
    from cryptography.hazmat.primitives.asymmetric import rsa

    pem = private_pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    monkeypatch.setenv(KEY, json.dumps(service_account(store.endpoint, pem)))

    said = refusal(f"{address}/lab")

    assert "the credentials in the environment are refused (AuthenticationRequired)" in said


def test_an_account_that_is_none_is_said_to_be_so(refusal, address, monkeypatch):
    monkeypatch.setenv(KEY, '{"private_key": "tessera"}')

    said = refusal(f"{address}/lab")

    assert "the credentials in the environment cannot be used: Generic GCS error" in said
    assert "Debug" not in said


@pytest.mark.parametrize(
    ("variable", "more"),
    [("GOOGLE_SERVICE_ACCOUNT", ()), ("GOOGLE_APPLICATION_CREDENTIALS", ("GOOGLE_BASE_URL",))],
)
def test_an_account_may_lie_in_a_file(address, store, monkeypatch, tmp_path, variable, more):
    account = service_account(store.endpoint, private_pem(signing_key()))
    (tmp_path / "account.json").write_text(json.dumps(account))
    monkeypatch.delenv(KEY)
    monkeypatch.setenv(variable, str(tmp_path / "account.json"))
    for name in more:
        monkeypatch.setenv(name, store.endpoint)

    archive = create_archive(place(f"{address}/lab"))
    append_entries(archive, [Entry("key", "segment", "m", "a")])

    assert read_entries(archive, "segment").keys() == {"key"}


def test_a_machine_of_googles_is_asked_for_a_token(address, store, monkeypatch):
    monkeypatch.delenv(KEY)
    monkeypatch.setenv("GOOGLE_BASE_URL", store.endpoint)
    monkeypatch.setenv("GCE_METADATA_HOST", store.endpoint.removeprefix("http://"))

    archive = create_archive(place(f"{address}/lab"))
    append_entries(archive, [Entry("key", "segment", "m", "a")])

    assert read_entries(archive, "segment").keys() == {"key"}


def test_a_machine_whose_tokens_cannot_be_had_is_told_so(refusal, address, store, monkeypatch):
    monkeypatch.delenv(KEY)
    monkeypatch.setenv("GOOGLE_BASE_URL", store.endpoint)
    for name in ("GCE_METADATA_HOST", "GCE_METADATA_IP"):
        monkeypatch.setenv(name, "127.0.0.1:9")

    said = refusal(f"{address}/lab")

    assert said.endswith("a token for the credentials in the environment cannot be asked for")


def test_googles_own_machines_know_who_they_are(store, monkeypatch, tmp_path):
    monkeypatch.setattr(google, "_MAKER", tmp_path / "product_name")

    assert not GoogleBucket("scans").has_credentials()
    (tmp_path / "product_name").write_text("Google Compute Engine\n")
    assert GoogleBucket("scans").has_credentials()


def test_an_account_of_gcloud_is_found(store, monkeypatch, tmp_path):
    monkeypatch.setattr(google, "_MAKER", tmp_path / "product_name")
    monkeypatch.setenv("HOME", str(tmp_path))
    known = tmp_path / ".config" / "gcloud" / "application_default_credentials.json"

    assert not GoogleBucket("scans").has_credentials()
    known.parent.mkdir(parents=True)
    known.write_text("{}")
    assert GoogleBucket("scans").has_credentials()


def test_a_store_that_says_too_often_is_asked_again(address, store):
    path = place(f"{address}/lab/runs.jsonl")

    with store.faults(cut="runs.jsonl", when="before", answer=429, times=2) as done:
        path.write_text("began\n")
        assert done()["cut"] == 2

    assert path.read_text() == "began\n"
