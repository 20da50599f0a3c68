import os

from services.threads import wait_politely


def test_idle_threads_sleep_unless_somebody_decided_otherwise(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    wait_politely()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"

    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    wait_politely()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
