"""What runs on the cluster: the verb, as on any machine, with its result marked in the log.

``python -m services.submission.driver VERB ...`` is started by Ray in the unpacked parcel.
"""

import contextlib
import io
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from types import FrameType

SETTINGS_VARIABLE = "TESSERA_SETTINGS"
LIBRARIES_VARIABLE = "TESSERA_LIBRARIES"


def main() -> None:
    """Run the verb and exit with its status."""
    sys.exit(run(sys.argv[1:]))


def run(words: list[str]) -> int:
    """Run the verb; return its exit status."""
    from services import cli
    from services.outcome import CALLERS_MISTAKE
    from services.submission.log import RESULT

    _stop_when_asked()
    wanted = json.loads(os.environ.pop(LIBRARIES_VARIABLE, "{}"))
    if other := other_libraries(wanted):
        sys.stderr.write(f"tessera: {other}\n")
        return CALLERS_MISTAKE
    said = io.StringIO()
    with _settings_file() as settings, contextlib.redirect_stdout(said):
        status = cli.run([*words_before_arguments(words, settings)])
    for line in said.getvalue().splitlines():
        sys.stdout.write(f"{RESULT}{line}\n")
    return status


def words_before_arguments(words: list[str], more: list[str]) -> list[str]:
    """Put more flags where a command line still takes them.

    Examples
    --------
    >>> words_before_arguments(["ingest", "--seed=1", "--", "a.tif"], ["--settings=s.toml"])
    ['ingest', '--seed=1', '--settings=s.toml', '--', 'a.tif']
    """
    end = words.index("--") if "--" in words else len(words)
    return [*words[:end], *more, *words[end:]]


def other_libraries(wanted: Mapping[str, str]) -> str:
    """Say which libraries differ here from those of the machine that submitted the job."""
    differing = []
    for name, version in wanted.items():
        try:
            here = metadata.version(name)
        except metadata.PackageNotFoundError:
            here = "none"
        # Builds for other accelerators have another local part.
        if here.partition("+")[0] != version.partition("+")[0]:
            differing.append(f"{name} {here} instead of {version}")
    if not differing:
        return ""
    return (
        f"the cluster has {', '.join(differing)}; results could differ, and --any-libraries "
        "says that they may"
    )


def _stop_when_asked() -> None:
    """Take a request to stop as Ctrl-C, which every verb is prepared for.

    Where a node was started in the background, Ctrl-C is ignored and so it would be here.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, interrupt)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})


@contextlib.contextmanager
def _settings_file() -> Iterator[list[str]]:
    """Write the settings that came with the job to a file; yield the flag that names it."""
    text = os.environ.pop(SETTINGS_VARIABLE, "")
    if not text:
        yield []
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "settings.toml"
        path.write_text(text, encoding="utf-8")
        yield [f"--settings={path}"]


if __name__ == "__main__":
    main()
