import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from services import cli

Tessera = Callable[..., subprocess.CompletedProcess[str]]
#: How long anything may take that a story waits for; nothing is measured against it.
PATIENCE_S = 240.0


@pytest.fixture(scope="session")
def tessera(own_home: Path) -> Tessera:
    """Run the command in a process of its own, as a user does."""

    def run(
        *arguments: object, prefix: tuple[str, ...] = (), **environment: object
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*prefix, *_command(arguments)],
            capture_output=True,
            text=True,
            timeout=600,
            cwd=own_home,
            env={**os.environ, **{name: str(value) for name, value in environment.items()}},
        )

    return run


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Tessera:
    """Run a command line in this process, where what it says needs no process of its own."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        status = cli.run([str(argument) for argument in arguments])
        shown = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, status, shown.out, shown.err)

    return run


@dataclass
class Begun:
    """A command that runs."""

    process: "subprocess.Popen[bytes]"
    folder: Path
    _seen: list[psutil.Process] = field(default_factory=list)

    def family(self) -> list[psutil.Process]:
        """Its process and all that came of it so far, also those whose parent died."""
        try:
            driver = psutil.Process(self.process.pid)
            found = [driver, *driver.children(recursive=True)]
        except psutil.NoSuchProcess:
            found = []
        self._seen += [process for process in found if process not in self._seen]
        return [process for process in self._seen if _is_alive(process)]

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Wait for something that the command is about to do."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.process.poll() is None, f"it ended early: {self.stderr}"
            assert time.monotonic() < deadline, f"it never came so far: {self.stderr}"
            time.sleep(0.05)
        self.family()

    def kill(self) -> None:
        """Kill the command itself, as the kernel does when memory runs out."""
        self.family()
        self.process.kill()
        self.process.wait()

    def interrupt(self) -> None:
        """Press Ctrl-C: a terminal sends it to the whole process group."""
        self.family()
        os.killpg(self.process.pid, signal.SIGINT)

    def wait(self) -> int:
        """Wait for its end; return the exit status."""
        return self.process.wait(PATIENCE_S)

    @property
    def stdout(self) -> str:
        return (self.folder / "stdout").read_text()

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()


@pytest.fixture
def begin(
    own_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Begun]]:
    """Begin the command in a process group of its own; what is left of it ends with the test."""
    all_begun = []

    def begin(*arguments: object, **environment: object) -> Begun:
        folder = tmp_path_factory.mktemp("begun")
        with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
            process = subprocess.Popen(
                _command(arguments),
                stdout=stdout,
                stderr=stderr,
                cwd=own_home,
                env={**os.environ, **{name: str(value) for name, value in environment.items()}},
                start_new_session=True,
            )
        all_begun.append(Begun(process, folder))
        return all_begun[-1]

    yield begin
    for begun in all_begun:
        for process in begun.family():
            process.kill()
        begun.process.wait()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own of 3 MB; `grow` makes it larger."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk can only be mounted by root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def grow(small_disk: Path) -> Callable[[str], None]:
    """Give the small disk another size."""

    def grow(size: str) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", str(small_disk)], check=True)

    return grow


@pytest.fixture(scope="session")
def digests() -> Callable[[Path], dict[str, str]]:
    """Digest every file below a folder, by its path in it."""

    def digests(folder: Path) -> dict[str, str]:
        return {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    return digests


def _command(arguments: tuple[object, ...]) -> list[str]:
    return [sys.executable, "-m", "services", *map(str, arguments)]


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
