import os
import re
import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

# Before numpy and torch are imported: tests on every core leave no core for a second thread.
os.environ |= {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}

import hypothesis
import numpy as np
import pytest

if TYPE_CHECKING:
    from tests.object_store import ObjectStore

# Where the tests were begun in the background Ctrl-C is ignored, and so would it be by every
# command that they begin, also by those that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("untimed")

#: Fixtures of the session that are made once in a process: their files share one, the stories among
#: them perhaps another, as stories are half of the work.
MADE_ONCE = ("embedded_ray", "trained_hands")
STORIES = Path(__file__).with_name("stories")
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@cache
def made_once_in(path: Path) -> str | None:
    """Return which of the fixtures that are made once a file of tests names."""
    text = path.read_text(encoding="utf-8")
    return next((name for name in MADE_ONCE if re.search(rf"\b{name}\b", text)), None)


def is_story(path: Path) -> bool:
    return STORIES in path.parents


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, or other processes would wait for it at the end."""
    for item in items:
        if not made_once_in(item.path) and {*MADE_ONCE} & {*item.fixturenames}:
            raise pytest.UsageError(f"{item.path} must name the fixture of {MADE_ONCE} it uses")
    items.sort(key=lambda item: (not is_story(item.path), not made_once_in(item.path)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Give each process a file at a time, or all files of a fixture that is made once."""
    from xdist.scheduler import LoadFileScheduling

    class ByFixtureOrFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            made = made_once_in(config.rootpath / file)
            return f"{made} {is_story(config.rootpath / file)}" if made else file

    return ByFixtureOrFile(config, log)


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home of the tests' own: Ray, MLflow and matplotlib write into it."""
    home = tmp_path_factory.mktemp("home")
    before = {name: os.environ.get(name) for name in ("HOME", "MPLCONFIGDIR", "RAY_ADDRESS")}
    os.environ["HOME"] = str(home)
    os.environ["MPLCONFIGDIR"] = str(home / "matplotlib")
    os.environ.pop("RAY_ADDRESS", None)
    yield home
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.fixture(scope="session")
def embedded_ray(own_home: Path) -> Iterator[None]:
    """The one Ray of the test session."""
    from cluster.session import connect

    with connect("local", num_cpus=2):
        yield


@pytest.fixture(scope="session")
def stores(own_home: Path) -> Iterator[Callable[[str], "ObjectStore"]]:
    """Object stores by how addresses in them begin, started when they are wanted."""
    from tests.object_store import object_store

    with ExitStack() as running:
        yield cache(lambda scheme: running.enter_context(object_store(scheme)))


@pytest.fixture
def store(request: pytest.FixtureRequest, stores: Callable[[str], "ObjectStore"]) -> "ObjectStore":
    """An object store in a process of its own; it speaks S3 where a test asks for no other."""
    return stores(getattr(request, "param", "s3"))


@pytest.fixture
def bucket(store: "ObjectStore", monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a new bucket, to which the environment leads."""
    from pipelines.buckets.opening import bucket_store

    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    # Clients are kept, and each knows the store that it was made for.
    bucket_store.cache_clear()
    yield store.make_bucket(f"bucket-{uuid.uuid4().hex[:12]}")
    bucket_store.cache_clear()


@pytest.fixture
def address(store: "ObjectStore", bucket: str) -> str:
    """How addresses in the bucket begin."""
    return f"{store.scheme}://{bucket}"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260101)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real images that are not part of the project."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real images are not at {SHARED_DATA}")
    return SHARED_DATA
