"""Connect to Ray: an embedded one by default, a cluster where an address is given."""

import logging
import os
import socket
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import ray
from ray.exceptions import AuthenticationError

from cluster.tokens import read_token, refusal

#: How long a cluster may take to accept a connection.
CONNECT_TIMEOUT_S = 10.0
#: How often a Ray of our own is started, if it does not answer in the time that Ray waits.
N_STARTS = 4
_TOO_SLOW = "timed out during startup"
#: What Ray's C++ code says, again and again, of a token that is not the cluster's.
_REFUSALS = (b"InvalidAuthToken", b"Unauthenticated")
_HINT = b"Set ray log level"
#: What an address means that names no port.
_PORTS = {"http": 80, "https": 443}


#: Whether an outer `one_session` keeps Ray up between connections.
_kept = False


@contextmanager
def one_session() -> Iterator[None]:
    """Let the first `connect` inside start Ray, and all later ones share it until the block ends.

    For work of several stages, some of which may turn out to need no Ray at all.
    """
    global _kept
    outermost, _kept = not _kept, True
    was_up = ray.is_initialized()
    try:
        yield
    finally:
        if outermost:
            _kept = False
            if not was_up and ray.is_initialized():
                ray.shutdown()


@contextmanager
def connect(address: str | None = None, *, num_cpus: int | None = None) -> Iterator[None]:
    """Connect to Ray for the length of the block, and leave it as it was found.

    Parameters
    ----------
    address : str, optional
        A cluster's address. Without it (and without ``RAY_ADDRESS``) a Ray of our own is
        started in this process; never somebody else's on the same machine.
    num_cpus : int, optional
        Cores that an embedded Ray may use; all by default.

    Raises
    ------
    ConnectionError
        If nobody answers at the address, the token is missing or refused, it is Ray's client, or
        no Ray could be started here.
    """
    if ray.is_initialized():
        yield
        return
    _quieten()
    _close_token_folder()
    where = address or os.environ.get("RAY_ADDRESS") or "local"
    if where not in ("local", "auto"):
        check_reachable(where)
    _join(where, num_cpus)
    try:
        _check_can_work(where)
        yield
    finally:
        if not _kept:
            ray.shutdown()


def _close_token_folder() -> None:
    """Keep others on the machine from reading Ray's token, with which they could run anything.

    Ray 2.60 writes it into the home as any file, which most systems let everybody read.
    """
    folder = Path.home() / ".ray"
    # A home that cannot be written holds no token of Ray's either.
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)


def _join(where: str, num_cpus: int | None) -> None:
    """Start or join Ray; say in one line why it does not take us."""
    is_cluster, cluster = where != "local", f"the Ray cluster at {where}"
    if is_cluster:
        # A file that is named and cannot be read shows here.
        read_token()
    noise: list[bytes] = []
    try:
        with _stderr_without((_HINT, *_REFUSALS), noise), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Ray Client connection timed out")
            _init(where, num_cpus)
    except AuthenticationError:
        raise ConnectionError(refusal(cluster, read_token())) from None
    except ConnectionError as error:
        if not is_cluster:
            raise
        if any(refusal in line for line in noise for refusal in _REFUSALS):
            raise ConnectionError(refusal(cluster, read_token())) from None
        raise ConnectionError(
            f"{cluster} takes no connection ({error}); perhaps it refuses this token"
        ) from None


def _check_can_work(where: str) -> None:
    """Refuse Ray's client, through which Ray Data cannot work: it would break off in the middle."""
    if urlsplit(where).scheme == "ray":
        raise ConnectionError(
            f"{where} is Ray's client, and Ray Data does not work through it: send the verb with "
            "`tessera submit --address http://HOST:PORT`, or give HOST:PORT on one of the nodes"
        )


def check_reachable(address: str) -> None:
    """Ask for a connection, because Ray itself tries for minutes before it gives up.

    Raises
    ------
    ConnectionError
        If nobody answers there, or it is no address.
    """
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        host = port = None
    if not host or not port:
        raise ConnectionError(f"a Ray cluster's address is HOST:PORT, got {address!r}")
    try:
        socket.create_connection((host, port), timeout=CONNECT_TIMEOUT_S).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConnectionError(f"no Ray cluster answers at {address}: {reason}") from error


def _init(where: str, num_cpus: int | None) -> None:
    """Connect to a cluster, or start a Ray of our own, if need be more than once."""
    for n_left in reversed(range(N_STARTS)):
        try:
            ray.init(
                address=where,
                num_cpus=num_cpus if where == "local" else None,
                include_dashboard=False if where == "local" else None,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=True,
            )
        except Exception as error:
            # On a busy machine that takes longer than the half minute that Ray waits.
            if where != "local" or _TOO_SLOW not in str(error):
                raise
            if not n_left:
                raise ConnectionError(
                    f"Ray did not start here, {N_STARTS} times: the machine has too much to do"
                ) from error
            ray.shutdown()
        else:
            return


@contextmanager
def _stderr_without(unwanted: tuple[bytes, ...], dropped: list[bytes]) -> Iterator[None]:
    """Hold back what C++ code writes to stderr; let all lines but the unwanted ones follow."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            for line in held:
                if any(text in line for text in unwanted):
                    dropped.append(line)
                else:
                    os.write(2, line)


def _quieten() -> None:
    """Keep Ray from printing what our own progress already says, or what we know."""
    # The retry options have no other way to Ray Data's actors before 2.64.
    warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    # Its C++ side warns on stderr that actors with large arguments cannot be restarted once the
    # driver has gone; then nobody wants them.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    for name in ("ray", "ray.data", "ray.train", "ray.tune"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # It logs with a traceback what it then raises, also what the work survives.
    executor = "ray.data._internal.execution.streaming_executor_state"
    logging.getLogger(executor).setLevel(logging.CRITICAL)
