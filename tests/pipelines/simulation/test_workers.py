import pytest

from pipelines.simulation.workers import open_workers


def refuse(item):
    if item == 3:
        raise ValueError("three")
    return item


def test_one_worker_works_lazily_and_in_order():
    taken = []

    def items():
        for k in range(5):
            taken.append(k)
            yield k

    with open_workers(1) as pool:
        results = pool.map(abs, items())
        assert next(results) == 0
        assert taken == [0]
        assert list(results) == [1, 2, 3, 4]


def test_an_error_in_a_worker_reaches_the_caller():
    with open_workers(1) as pool, pytest.raises(ValueError, match="three"):
        list(pool.map(refuse, range(5)))


def test_processes_give_results_in_order_and_take_few_items_ahead():
    taken = []

    def items():
        for k in range(40):
            taken.append(k)
            yield -k

    with open_workers(2) as pool:
        results = pool.map(abs, items())
        first = next(results)
        ahead = len(taken)
        rest = list(results)

    assert [first, *rest] == list(range(40))
    assert ahead <= 6
