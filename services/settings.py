"""Settings: TOML file and flags become one frozen pydantic model per verb."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.config import JsonDict
from pydantic.fields import FieldInfo

from pipelines.errors import ArchiveError, SettingsError, TesseraError
from pipelines.places import SCRATCH_VARIABLE, in_bucket, place
from services.secrets import check_closed

if TYPE_CHECKING:
    from cluster.resources import TeamWish, Wish


#: The table of a settings file that every verb reads which uses a cluster, and its keys.
CLUSTER = "cluster"
CLUSTER_KEYS = frozenset(
    {
        "address", "dashboard", "workers", "cores_per_worker", "memory_per_worker_mb", "gpu_share",
        "train_workers", "min_train_workers", "train_on", "trials_at_once",
        "price_per_core_hour", "price_per_gpu_hour",
    }
)  # fmt: skip
IN_CLUSTER_TABLE: JsonDict = {"table": CLUSTER}
ONLY_IN_CLUSTER_TABLE: JsonDict = {"table": CLUSTER, "flag": False}


class VerbSettings(BaseModel):
    """What every verb accepts. Field names are TOML keys and, with dashes, flags."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    seed: int = Field(0, ge=0, description="seed of everything random")

    @classmethod
    def load(cls, verb: str, toml: Path | None, flags: Mapping[str, Any]) -> Self:
        """Make settings from a TOML file and flags; flags win.

        A TOML file holds a table per verb, and above them keys that all verbs share.

        Raises
        ------
        SettingsError
            Naming the flag or the file and key, the rule and the value.
        """
        from_file = read_toml(toml, verb, cls.model_fields) if toml else {}
        if toml and any(holds_secret(cls.model_fields[name]) for name in from_file):
            check_closed(toml, "--settings")
        given = {name: value for name, value in flags.items() if value is not None}
        try:
            return cls(**{**from_file, **given})
        except ValidationError as error:
            flags_of = {name: _flag(name, field) for name, field in cls.model_fields.items()}
            said = _explain(error, flags_of, from_file.keys() - given.keys(), toml)
            raise SettingsError(said) from None


class ArchiveSettings(VerbSettings):
    """What every verb on an archive accepts."""

    #: Whether the verb can work on an archive in a bucket.
    IN_BUCKETS: ClassVar[bool] = True

    archive: Path = Field(
        description="the archive's folder, or a bucket: s3://BUCKET/PREFIX, gs://..., az://..."
    )

    @field_validator("archive", mode="before")
    @classmethod
    def _find_place(cls, given: Any) -> Any:
        """Tell an address from a path; a few verbs need a folder."""
        if not isinstance(given, str | Path):
            return given
        path = place(given)
        if in_bucket(path) and not cls.IN_BUCKETS:
            raise ArchiveError(f"this verb needs an archive in a folder, got {path}")
        return path


class RegistrySettings(ArchiveSettings):
    """What every verb on the registry of models accepts."""

    tracking_uri: str | None = Field(
        None, description="MLflow server; by default a database in the archive"
    )


class ClusterSettings(ArchiveSettings):
    """What every verb that starts Ray accepts: in a file, the table [cluster] of all verbs."""

    address: str | None = Field(
        None,
        description="a Ray cluster's address; by default Ray is started in this process",
        json_schema_extra=IN_CLUSTER_TABLE,
    )
    workers: int | None = Field(
        None,
        ge=1,
        description="parallel workers; as many as there are cores and memory for by default",
        json_schema_extra=IN_CLUSTER_TABLE,
    )
    cores_per_worker: float = Field(1.0, gt=0, json_schema_extra=ONLY_IN_CLUSTER_TABLE)
    memory_per_worker_mb: int | None = Field(None, ge=1, json_schema_extra=ONLY_IN_CLUSTER_TABLE)
    gpu_share: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of an accelerator that a worker or a trial takes, where it uses one",
        json_schema_extra=IN_CLUSTER_TABLE,
    )
    price_per_core_hour: float | None = Field(None, ge=0, json_schema_extra=ONLY_IN_CLUSTER_TABLE)
    price_per_gpu_hour: float | None = Field(None, ge=0, json_schema_extra=ONLY_IN_CLUSTER_TABLE)

    @property
    def wish(self) -> "Wish":
        """What actors are to have."""
        from cluster.resources import MB, Wish

        memory_bytes = self.memory_per_worker_mb and self.memory_per_worker_mb * MB
        return Wish(self.workers, self.cores_per_worker, memory_bytes, self.gpu_share)

    @model_validator(mode="after")
    def _find_scratch(self) -> Self:
        """Refuse a cluster whose nodes would not see each other's work in progress."""
        cluster = self.address or os.environ.get("RAY_ADDRESS") or "local"
        is_apart = cluster != "local" and not os.environ.get(SCRATCH_VARIABLE)
        if in_bucket(self.archive) and is_apart:
            raise SettingsError(
                f"{SCRATCH_VARIABLE} must name a folder that all nodes of the cluster see, for "
                f"work in progress on {self.archive}"
            )
        return self


class TeamSettings(ClusterSettings):
    """What every verb accepts whose networks can be trained by several processes."""

    train_workers: int = Field(
        0,
        ge=0,
        description="processes that train together; 0: this process, without Ray",
        json_schema_extra=IN_CLUSTER_TABLE,
    )
    min_train_workers: int = Field(1, ge=1, json_schema_extra=ONLY_IN_CLUSTER_TABLE)
    train_on: Literal["auto", "gpu", "cpu"] = Field("auto", json_schema_extra=ONLY_IN_CLUSTER_TABLE)

    @property
    def team_wish(self) -> "TeamWish":
        """What processes that train together are to have."""
        from cluster.resources import TeamWish

        return TeamWish(self.min_train_workers, self.train_on)


def cluster_keys(fields: Mapping[str, FieldInfo]) -> dict[str, str]:
    """Return the keys of the table [cluster] that these settings know, and the fields' names."""
    return {
        str(extra.get("key", name)): name
        for name, field in fields.items()
        if isinstance(extra := field.json_schema_extra, dict) and extra.get("table") == CLUSTER
    }


def has_flag(field: FieldInfo) -> bool:
    """Tell whether a setting can be given on the command line too."""
    extra = field.json_schema_extra
    return not isinstance(extra, dict) or bool(extra.get("flag", True))


def holds_secret(field: FieldInfo) -> bool:
    """Tell whether a setting is a secret."""
    return field.annotation is SecretStr or SecretStr in get_args(field.annotation)


def read_toml(path: Path, verb: str, fields: Mapping[str, FieldInfo]) -> dict[str, Any]:
    """Read the settings of one verb from a TOML file.

    Keys at the top belong to all verbs, and those of [cluster] to all that use a cluster: what
    this verb does not know is left to others.
    """
    in_cluster = cluster_keys(fields)
    known = fields.keys() - in_cluster.values()
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"settings file {path} does not exist") from None
    except OSError as error:
        raise SettingsError(f"settings file {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(f"settings file {path} is not TOML: {error}") from error
    shared = {k: v for k, v in content.items() if not isinstance(v, dict) and k in known}
    own: Any = content
    for part in verb.split("."):
        own = own.get(part, {}) if isinstance(own, dict) else own
    if not isinstance(own, dict):
        raise SettingsError(f"settings file {path}: {verb} must be a table [{verb}], got {own!r}")
    cluster = content.get(CLUSTER, {})
    if not isinstance(cluster, dict):
        raise SettingsError(f"settings file {path}: cluster must be a table, got {cluster!r}")
    if strangers := sorted(cluster.keys() - CLUSTER_KEYS):
        raise SettingsError(f"settings file {path}: [cluster] does not know {', '.join(strangers)}")
    if misplaced := sorted((content.keys() | own.keys()) & in_cluster.keys()):
        raise SettingsError(f"settings file {path}: {misplaced[0]} belongs into [cluster]")
    shared |= {in_cluster[key]: value for key, value in cluster.items() if key in in_cluster}
    unknown = sorted(set(own) - known)
    if unknown:
        raise SettingsError(f"settings file {path}: [{verb}] does not know {', '.join(unknown)}")
    return {**shared, **own}


def _flag(name: str, field: FieldInfo) -> str:
    """Return what a field is called on the command line."""
    extra = field.json_schema_extra
    if isinstance(extra, dict) and extra.get("argument"):
        return str(extra.get("metavar", name.upper()))
    if not has_flag(field):
        return f"[cluster] {name}"
    return f"--{name.replace('_', '-')}"


def _explain(
    error: ValidationError, flags: Mapping[str, str], from_file: Any, toml: Path | None
) -> str:
    """Say the first broken rule in one line."""
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    flag = flags.get(name, f"--{name.replace('_', '-')}") if name else "settings"
    where = f"{toml}: {name}" if name in from_file else flag
    if first["type"] == "missing":
        return f"{where} is missing"
    rule = first["msg"].removeprefix("Value error, ")
    if isinstance(first.get("ctx", {}).get("error"), TesseraError):
        # It names the value itself, unless the value holds a password.
        return f"{where}: {rule}" if name else rule
    return f"{where}: {rule[0].lower()}{rule[1:]}, got {first['input']!r}"
