from types import SimpleNamespace

import pytest

from services.report.sweep_results import Found


@pytest.fixture
def found(tmp_path):
    """Three trials of one method, and a better one of another."""
    plan = SimpleNamespace(
        variants=[SimpleNamespace(label=label) for label in ("ce", "gce", "elr")],
        error_rates=[0.4, 0.0],
    )
    done = [("ce", 0.0, 0, 0.96), ("ce", 0.0, 1, 0.94), ("ce", 0.4, 0, 0.8), ("gce", 0.0, 0, 0.99)]
    rows = {
        str(number): {"method": method, "error_rate": rate, "seed": seed, "last": last, "n_test": 4}
        for number, (method, rate, seed, last) in enumerate(done)
    }
    return Found(plan, SimpleNamespace(), rows, tmp_path)


def test_the_clean_accuracy_of_a_method_is_its_own(found):
    assert found.clean_accuracy("ce") == pytest.approx(0.95)
    assert found.clean_accuracy("gce") == pytest.approx(0.99)
    assert found.clean_accuracy("elr") is None


def test_only_methods_with_trials_are_told_of_and_rates_rise(found):
    assert found.methods == ["ce", "gce"]
    assert found.rates == [0.0, 0.4]
    assert found.keys("ce", 0.0) == ["0", "1"]
