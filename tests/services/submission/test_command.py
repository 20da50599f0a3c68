import pytest

from pipelines.errors import SettingsError
from services.submission.command import MAX_SETTINGS_BYTES, read_command


def job_id(*words, run_id=None):
    return read_command(words, run_id=run_id).job_id


def test_the_same_settings_are_the_same_job_however_they_are_written():
    plain = job_id("segment", "--archive", "/data/a", "--core-px", "512")

    assert plain.startswith("segment-")
    assert plain == job_id("segment", "--core-px=512", "--archive=/data/a")
    # Zero is the seed by default, and how the result is printed does not matter.
    assert plain == job_id(
        "segment", "--archive", "/data/a", "--core-px", "512", "--seed", "0", "--json"
    )


@pytest.mark.parametrize(
    "other",
    [
        ("status", "--archive", "/data/a"),
        ("segment", "--archive", "/data/b"),
        ("segment", "--archive", "/data/a", "--seed", "1"),
    ],
)
def test_another_verb_or_setting_is_another_job(other):
    assert job_id(*other) != job_id("segment", "--archive", "/data/a")


def test_another_run_is_another_job_that_is_called_after_it():
    first = job_id("segment", "--archive", "/data/a", run_id="monday")

    assert first.startswith("segment-monday-")
    assert first != job_id("segment", "--archive", "/data/a", run_id="tuesday")


def test_paths_are_sent_from_the_root_as_the_cluster_has_another_current_folder(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)

    sent = read_command(["ingest", "images", "b.tif", "--archive", "a", "--truth", "t"]).words

    assert sent == (
        "ingest", f"--archive={tmp_path}/a", f"--truth={tmp_path}/t",
        "--", f"{tmp_path}/images", f"{tmp_path}/b.tif",
    )  # fmt: skip


def test_an_address_of_a_bucket_is_sent_as_it_is():
    sent = read_command(["status", "--archive", "s3://scans/2026"]).words

    assert sent == ("status", "--archive=s3://scans/2026")


def test_every_kind_of_flag_arrives_as_it_was_given():
    words = [
        "run", "--archive=/a", "--hold-out=-x", "--hold-out=y z", "--allow-unknown-pixel-size",
        "--pixel-size-nm=0.5", "--assume=right", "--", "/images",
    ]  # fmt: skip

    sent = read_command(words).words

    assert sorted(sent) == sorted(words)
    assert read_command(sent).job_id == read_command(words).job_id


def test_settings_of_the_file_are_sent_whole_and_count(tmp_path):
    toml = tmp_path / "s.toml"
    toml.write_text('archive = "/data/a"\n[segment]\ncore_px = 512\n')
    words = ["segment", "--settings", str(toml)]

    found = read_command(words)
    toml.write_text('archive = "/data/a"\n[segment]\ncore_px = 1024\n')

    assert found.settings_toml == 'archive = "/data/a"\n[segment]\ncore_px = 512\n'
    assert not any("settings" in word for word in found.words)
    assert read_command(words).job_id != found.job_id


def test_a_relative_path_of_the_file_is_sent_from_the_root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.toml").write_text('archive = "a"\n')

    assert f"--archive={tmp_path}/a" in read_command(["segment", "--settings", "s.toml"]).words


def test_a_member_of_a_family_is_a_verb_too():
    found = read_command(["models", "list", "--archive", "/data/a"])

    assert found.verb == "models.list"
    assert found.words == ("models", "list", "--archive=/data/a")
    assert found.job_id.startswith("models-list-")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "VERB is missing"),
        (("models",), "VERB is missing"),
        (("sgment", "--archive", "/a"), "there is no 'sgment'"),
        (("models", "burn"), "there is no 'burn'"),
        (("submit", "--", "segment"), "there is no 'submit' that could be submitted"),
        (("jobs", "list"), "there is no 'jobs' that could be submitted"),
        (("segment", "--archive", "/a", "--core-px", "3"), "--core-px"),
        (("segment",), "--archive is missing"),
        (("segment", "--archive", "/a", "--address", "h:1"), "--address is for `submit` itself"),
    ],
)
def test_what_the_verb_would_refuse_is_refused_here(words, said):
    with pytest.raises(SettingsError, match=said):
        read_command(words)


def test_a_password_in_the_command_is_not_sent():
    uri = "https://ada:lovelace@lab.org"

    with pytest.raises(SettingsError, match="a password would be shown") as refused:
        read_command(["models", "list", "--archive", "/a", "--tracking-uri", uri])

    assert "lovelace" not in str(refused.value)


def test_a_password_in_the_settings_file_is_not_sent(tmp_path):
    toml = tmp_path / "s.toml"
    toml.write_text('archive = "/a"\n[train]\ntracking_uri = "https://ada:lovelace@lab.org"\n')

    with pytest.raises(SettingsError, match="holds a password") as refused:
        read_command(["segment", "--settings", str(toml)])

    assert "lovelace" not in str(refused.value)


def test_a_settings_file_that_is_too_long_to_be_sent_is_refused(tmp_path):
    toml = tmp_path / "s.toml"
    toml.write_text('archive = "/a"\n#' + "x" * MAX_SETTINGS_BYTES)

    with pytest.raises(SettingsError, match="must not be longer than"):
        read_command(["segment", "--settings", str(toml)])
