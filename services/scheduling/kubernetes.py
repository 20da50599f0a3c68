"""A schedule for Kubernetes: a CronJob."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.scheduling.schedule import Schedule, relabel_command
from services.scheduling.slots import parse_time

#: A job that could not be started for so long waits for its next slot.
DEADLINE_S = 3 * 3600
#: Another try after a failure: what was done is not done again.
BACKOFF_LIMIT = 1
#: Kubernetes makes the names of jobs from that of the CronJob, and has no room for longer ones.
_MAX_NAME = 52


def render_kubernetes(schedule: Schedule, *, archive: Path, image: str, claim: str) -> str:
    """Write the manifest, as YAML.

    Parameters
    ----------
    schedule : Schedule
        The slot.
    archive : Path
        The archive, as the container sees it.
    image : str
        A container image with tessera.
    claim : str
        The persistent volume claim that holds the archive.
    """
    at = parse_time(schedule.at)
    folders = [str(archive), *schedule.watch_dirs]
    claims = [claim, *(f"{claim}-watch-{i}" for i in range(1, len(folders)))]
    script = f"exec {relabel_command(['tessera'], archive, schedule)}"
    container = {
        "name": "relabel",
        "image": image,
        # Kubernetes itself looks for $(NAME) in commands; doubled, it leaves them to the shell.
        "command": ["/bin/sh", "-c", script.replace("$(", "$$(")],
        # MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, where a server asks for them.
        "envFrom": [{"secretRef": {"name": "tessera", "optional": True}}],
        # Whoever asks the Ray of the night for anything must know its token.
        "env": [{"name": "RAY_AUTH_MODE", "value": "token"}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
        },
        "volumeMounts": [
            {"name": f"folder-{i}", "mountPath": folder, **({"readOnly": True} if i else {})}
            for i, folder in enumerate(folders)
        ]
        + [{"name": "shm", "mountPath": "/dev/shm"}],
    }
    volumes: list[dict[str, Any]] = [
        {"name": f"folder-{i}", "persistentVolumeClaim": {"claimName": each}}
        for i, each in enumerate(claims)
    ]
    # Ray keeps its objects there; a container's own is 64 MB.
    volumes.append({"name": "shm", "emptyDir": {"medium": "Memory"}})
    manifest = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": job_name(archive.name)},
        "spec": {
            "schedule": f"{at.minute} {at.hour} * * *",
            "timeZone": schedule.time_zone,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": DEADLINE_S,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 7,
            "jobTemplate": {
                "spec": {
                    "backoffLimit": BACKOFF_LIMIT,
                    "template": {
                        "spec": {
                            "restartPolicy": "Never",
                            "containers": [container],
                            "volumes": volumes,
                        }
                    },
                }
            },
        },
    }
    return "\n".join(_lines(manifest))


def job_name(archive: str) -> str:
    """Name the job after the archive, as Kubernetes allows.

    Examples
    --------
    >>> job_name("Lab_2 (new)")
    'tessera-relabel-lab-2-new'
    """
    plain = re.sub(r"[^a-z0-9]+", "-", archive.lower()).strip("-")
    return f"tessera-relabel-{plain}"[:_MAX_NAME].rstrip("-")


def _lines(value: Any, indent: str = "") -> Sequence[str]:
    """Write mappings and lists as YAML; texts and numbers as JSON, which YAML contains."""
    lines: list[str] = []
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, dict | list):
                lines += [f"{indent}{key}:", *_lines(inner, indent + "  ")]
            else:
                lines.append(f"{indent}{key}: {json.dumps(inner, ensure_ascii=False)}")
        return lines
    for item in value:
        if isinstance(item, dict):
            first, *rest = _lines(item, indent + "  ")
            lines += [f"{indent}- {first.lstrip()}", *rest]
        else:
            lines.append(f"{indent}- {json.dumps(item, ensure_ascii=False)}")
    return lines
