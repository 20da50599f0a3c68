import subprocess
import sys

import pytest
from matplotlib.figure import Figure

from pipelines.archive import create_archive
from pipelines.errors import SettingsError
from services.tracking import open_client, track_run


# A database of MLflow's takes seconds to make.
@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return create_archive(tmp_path_factory.mktemp("tracking") / "a")


def test_a_run_keeps_settings_curves_figures_and_digests(archive, tmp_path):
    note = tmp_path / "note.txt"
    note.write_text("hello")

    with track_run(archive, "train", {"epochs": 3, "name": "m"}) as run:
        run.history([{"loss": 2.0}, {"loss": 1.0}])
        run.metrics({"accuracy": 0.5})
        run.figure("curve", Figure())
        run.tags({"mosaics": {"m": "digest"}})
        run.artifact(note)
        run.dataset("labels", "abc", source="tables/labels", context="training")

    client = open_client(archive)
    kept = client.get_run(run.run_id)
    assert kept.info.status == "FINISHED"
    assert kept.data.params == {"epochs": "3", "name": "m"}
    assert kept.data.metrics == {"loss": 1.0, "accuracy": 0.5}
    assert [(m.step, m.value) for m in client.get_metric_history(run.run_id, "loss")] == [
        (1, 2.0),
        (2, 1.0),
    ]
    assert kept.data.tags["mosaics"] == '{"m": "digest"}'
    assert kept.inputs.dataset_inputs[0].dataset.digest == "abc"
    assert (archive.root / "mlflow.db").is_file()
    assert sorted(path.name for path in (archive.root / "mlartifacts").rglob("*.*")) == [
        "curve.png",
        "note.txt",
    ]


def fail_in_a_run(archive, error):
    with track_run(archive, "train", {}):
        raise error


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("so"), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_a_run_that_breaks_off_is_marked_with_its_reason(archive, error, status):
    with pytest.raises(type(error)):
        fail_in_a_run(archive, error)

    client = open_client(archive)
    experiment = client.get_experiment_by_name("tessera")
    kept = client.search_runs([experiment.experiment_id], order_by=["start_time DESC"])[0]
    assert kept.info.status == status
    assert type(error).__name__ in kept.data.tags["reason"]


def test_a_server_that_does_not_answer_is_refused_in_one_line(archive):
    with pytest.raises(SettingsError, match=r"tracking store http://127\.0\.0\.1:9 cannot be used"):
        open_client(archive, "http://127.0.0.1:9")


OPENER = """
import sys
from pathlib import Path
from pipelines.archive import open_archive
from services.tracking import _import, open_client
_import()
print("ready", flush=True)
sys.stdin.readline()
open_client(open_archive(Path(sys.argv[1])))
"""


def test_processes_that_open_a_new_store_at_once_make_it_once(tmp_path):
    fresh = create_archive(tmp_path / "a")
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER, str(fresh.root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]

    # Importing takes long and differs: only now do they begin, all together.
    assert [opener.stdout.readline() for opener in openers] == ["ready\n"] * 3
    ends = [opener.communicate("go\n") for opener in openers]

    assert [opener.returncode for opener in openers] == [0, 0, 0], ends
    found = open_client(fresh).search_experiments(filter_string="name = 'tessera'")
    assert len(found) == 1


def test_an_address_with_a_password_is_refused_before_anything_is_written(archive):
    with pytest.raises(SettingsError, match=r"http://\*\*\*@lab must not hold a user or password"):
        open_client(archive, "http://ada:secret@lab")
