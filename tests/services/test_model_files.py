from types import SimpleNamespace

import pytest

from pipelines.archive import create_archive
from pipelines.errors import ModelError
from services.model_files import fetch_files


@pytest.fixture
def archive(tmp_path):
    return create_archive(tmp_path / "deep" / "a")


@pytest.mark.parametrize(
    ("digest", "run_id"),
    [("../../../escaped", "r1"), ("/tmp/escaped", "r1"), ("d1", "../../escaped"), ("d\n1", "r1")],
)
def test_a_server_does_not_choose_where_its_files_are_written(
    archive, tmp_path, monkeypatch, digest, run_id
):
    import mlflow.artifacts

    asked = []
    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", lambda **how: asked.append(how))
    found = SimpleNamespace(
        name="hands", source="mlflow-artifacts:/1/m", tags={"weights_digest": digest}, run_id=run_id
    )

    with pytest.raises(ModelError, match="no digest and run of a model of ours"):
        fetch_files(archive, found, "http://127.0.0.1:1")

    assert asked == []
    assert not list(tmp_path.rglob("*escaped*"))
