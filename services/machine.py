"""What this machine has, what is missing, and how to get it: one check per line of `doctor`.

No check imports a heavy library, so that all of them together take well under a second; what
only an import or a start can show is left to the deep checks.
"""

import ctypes
import os
import resource
import runpy
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

import psutil
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

DISTRIBUTION = "tessera-mosaic"
OK, WARNING, MISSING, OPTIONAL = "ok", "warning", "missing", "optional"
GIB = 1 << 30

#: Below these the verbs still run, but a mosaic of ordinary size may not fit.
MEMORY_BYTES = 4 * GIB
DISK_BYTES = 10 * GIB
#: Containers give 64 MiB by default; Ray then keeps its objects on disk, many times slower.
SHARED_MEMORY_BYTES = 1 * GIB
#: Ray opens several sockets per worker, Zarr a file per shard.
OPEN_FILES = 4096

PURPOSES = {
    "zarrs": "reads and writes Zarr two to five times faster",
    "cellpose": "segments with a Cellpose model of yours",
    "stardist": "segments with a StarDist model of yours",
    "tensorflow": "needed by stardist",
    "Flask-WTF": "a tracking server of your own with users",
    "psycopg2-binary": "a tracking server of your own on PostgreSQL",
}


@dataclass(frozen=True)
class Check:
    """What was found of one thing; ``remedy`` says how to get what is missing."""

    name: str
    status: str
    found: str
    remedy: str = ""


def check_machine(disk: Path) -> list[Check]:
    """Look at everything that can be told at once; ``disk`` is a folder that need not exist."""
    return [
        check_python(),
        check_libraries(),
        *check_extras(),
        check_gpu(),
        check_cores(),
        check_memory(),
        check_shared_memory(),
        check_disk("disk", disk, "free space there, or put the archive on a larger disk"),
        check_disk("temporary", Path(tempfile.gettempdir()), "free space there, or set TMPDIR"),
        check_home(),
        check_open_files(),
    ]


def check_python() -> Check:
    """Look at the interpreter's version."""
    version = sys.version.split()[0]
    needed = SpecifierSet(metadata.metadata(DISTRIBUTION)["Requires-Python"])
    if not needed.contains(version, prereleases=True):
        return Check("python", MISSING, version, f"install Python {needed}")
    return Check("python", OK, version)


def requirements(extra: str | None) -> list[Requirement]:
    """Return what the installed distribution needs, for itself or for one of its extras."""
    chosen = []
    for text in metadata.requires(DISTRIBUTION) or []:
        requirement = Requirement(text)
        always = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if extra is None and always:
            chosen.append(requirement)
        elif extra is not None and not always:
            marker = requirement.marker
            if marker is not None and marker.evaluate({"extra": extra}):
                chosen.append(requirement)
    return chosen


def problem_of(requirement: Requirement) -> str | None:
    """Say what is wrong with an installed library, or None."""
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement.name} is not installed"
    if not requirement.specifier.contains(version, prereleases=True):
        return f"{requirement.name} {version} is not {requirement.specifier}"
    return None


def check_libraries() -> Check:
    """Compare the required libraries with what is installed."""
    needed = requirements(None)
    problems = [problem for need in needed if (problem := problem_of(need))]
    if problems:
        remedy = f"pip install --upgrade {DISTRIBUTION}"
        return Check("libraries", MISSING, "; ".join(problems), remedy)
    shown = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "ray", "zarr"))
    return Check("libraries", OK, f"all {len(needed)} that are required ({shown}, ...)")


def check_extras() -> Iterator[Check]:
    """Look for the libraries of every optional extra but the developers'."""
    for extra in metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or []:
        if extra == "dev":
            continue
        for need in requirements(extra):
            purpose = PURPOSES.get(need.name, f"extra {extra}")
            problem = problem_of(need)
            if problem:
                remedy = f"{purpose}: pip install '{DISTRIBUTION}[{extra}]'"
                yield Check(need.name, OPTIONAL, problem, remedy)
            else:
                yield Check(need.name, OK, f"{metadata.version(need.name)}; {purpose}")


def torch_cuda() -> str | None:
    """Return the CUDA version that torch was built for, without importing torch."""
    spec = util.find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        return None
    cuda = runpy.run_path(str(Path(spec.submodule_search_locations[0]) / "version.py")).get("cuda")
    return str(cuda) if cuda else None


def find_gpus() -> list[str] | None:
    """Ask the NVIDIA driver for its GPUs, name and memory; None where there is no driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return []
    gpus = []
    for index in range(count.value):
        device, name, size = ctypes.c_int(), ctypes.create_string_buffer(128), ctypes.c_size_t()
        driver.cuDeviceGet(ctypes.byref(device), index)
        driver.cuDeviceGetName(name, len(name), device)
        driver.cuDeviceTotalMem_v2(ctypes.byref(size), device)
        gpus.append(f"{name.value.decode(errors='replace')} ({_gib(size.value)})")
    return gpus


def check_gpu() -> Check:
    """Look for a GPU, its driver, and a torch that can use it."""
    on_cpu = "training and prediction run on the CPU"
    gpus = find_gpus()
    if gpus is None:
        return Check("gpu", OPTIONAL, "no NVIDIA driver found", f"{on_cpu}; nothing else needs one")
    if not gpus:
        return Check("gpu", WARNING, "a driver, but no GPU that it can use", f"{on_cpu}; see dmesg")
    cuda = torch_cuda()
    if cuda is None:
        remedy = f"{on_cpu}; install a torch that is built for CUDA"
        return Check("gpu", WARNING, f"{', '.join(gpus)}; torch is built without CUDA", remedy)
    return Check("gpu", OK, f"{', '.join(gpus)}; torch is built for CUDA {cuda}")


def check_cores() -> Check:
    """Count the cores that this process may use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = f"{usable} usable of {os.cpu_count()}"
    quota = _cgroup("cpu.max").split()
    if len(quota) == 2 and quota[0] != "max":
        found += f", of which the container may use {int(quota[0]) / int(quota[1]):.3g}"
    return Check("cores", OK, found)


def check_memory() -> Check:
    """Look at the memory that is free, within the container's limit."""
    memory = psutil.virtual_memory()
    total, free = memory.total, memory.available
    limit, used = _cgroup("memory.max"), _cgroup("memory.current")
    if limit.isdigit() and used.isdigit() and int(limit) < total:
        total, free = int(limit), min(free, int(limit) - int(used))
    found = f"{_gib(free)} free of {_gib(total)}"
    if free < MEMORY_BYTES:
        remedy = f"less than {_gib(MEMORY_BYTES)}: close programs, or use fewer --workers"
        return Check("memory", WARNING, found, remedy)
    return Check("memory", OK, found)


def check_shared_memory(path: Path = Path("/dev/shm")) -> Check:
    """Look at the size of shared memory, where Ray keeps its objects."""
    if not path.is_dir():
        return Check("shared memory", OK, f"no {path}; Ray uses the temporary folder")
    size = shutil.disk_usage(path).total
    if size < SHARED_MEMORY_BYTES:
        remedy = "Ray gets slow; give the container more (docker run --shm-size=2g)"
        return Check("shared memory", WARNING, f"{_gib(size)} in {path}", remedy)
    return Check("shared memory", OK, f"{_gib(size)} in {path}")


def check_disk(name: str, path: Path, remedy: str) -> Check:
    """Look at the free space of the disk that holds ``path``."""
    folder = nearest_folder(path)
    usage = shutil.disk_usage(folder)
    found = f"{_gib(usage.free)} free of {_gib(usage.total)} at {folder}"
    if usage.free < DISK_BYTES:
        return Check(name, WARNING, found, f"less than {_gib(DISK_BYTES)}: {remedy}")
    return Check(name, OK, found)


def check_home() -> Check:
    """See whether Ray and others can keep their files in the home folder."""
    home = Path.home()
    if why := why_not_writable(home):
        remedy = "Ray keeps its token there; set HOME to a folder that can be written"
        return Check("home", WARNING, f"{home}: {why}", remedy)
    return Check("home", OK, f"{home} can be written")


def check_open_files() -> Check:
    """Look at how many files this process may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < OPEN_FILES:
        found = f"{soft} may be open at once"
        return Check("open files", WARNING, found, f"ulimit -n {min(hard, 65536)}")
    return Check("open files", OK, f"{soft} may be open at once")


def nearest_folder(path: Path) -> Path:
    """Return ``path`` or the nearest folder above it that exists."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def why_not_writable(folder: Path) -> str | None:
    """Try to write a file in ``folder``; say why that failed, or None."""
    try:
        # Asking for permission is not enough: root is told yes on read-only disks too.
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"?")
    except OSError as error:
        return error.strerror or str(error)
    return None


def _cgroup(name: str) -> str:
    """Read a limit of the container that this runs in; empty where there is none."""
    try:
        return Path("/sys/fs/cgroup", name).read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _gib(size_bytes: float) -> str:
    return f"{size_bytes / GIB:.3g} GiB"
