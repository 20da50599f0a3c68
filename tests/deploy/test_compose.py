"""The composition: every name in it leads somewhere, and nothing can be reached that should not."""

import configparser
import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import jsonschema
import pytest
import yaml
from mlflow.server.security_utils import is_allowed_host_header
from ray.scripts.scripts import start

from services.secrets import FROM_FILES
from services.verbs.relabel import Settings as Relabel
from services.verbs.run import Settings as Run

RAYS = ("head", "worker")
SCHEMA = Path(__file__).with_name("schemas") / "compose.json"


def option(command, name):
    (value,) = re.findall(rf"--{name}[= ](\S+)", command)
    return value


def without_default(text):
    """Undo ``${NAME:-default}``."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def test_it_has_the_shape_that_compose_knows(compose):
    jsonschema.validate(compose, json.loads(SCHEMA.read_text(encoding="utf-8")))


def test_every_port_is_published_on_the_loopback_interface_alone(compose):
    ports = [port for service in compose["services"].values() for port in service.get("ports", ())]

    assert sorted(port.split(":")[1] for port in ports) == ["3000", "5000", "8265"]
    assert {port.split(":")[0] for port in ports} == {"127.0.0.1"}


def test_only_what_is_published_has_a_network_that_leads_outside(compose):
    outward = {name for name, network in compose["networks"].items() if not network.get("internal")}

    reaching = {
        name for name, service in compose["services"].items() if outward & {*service["networks"]}
    }
    assert reaching == {name for name, s in compose["services"].items() if s.get("ports")}


def test_the_store_can_be_reached_by_mlflow_alone(compose):
    networks = {name: {*service["networks"]} for name, service in compose["services"].items()}

    neighbours = {name for name, its in networks.items() if its & networks["store"]}
    assert neighbours == {"store", "bucket", "mlflow"}


@pytest.mark.parametrize("name", RAYS)
def test_ray_is_started_with_flags_that_it_has_and_a_token(compose, commands, name):
    service = compose["services"][name]
    words = commands.split(without_default(service["command"]))

    assert words[:2] == ["ray", "start"]
    commands.check_flags(start, words[2:])
    assert service["environment"]["RAY_AUTH_MODE"] == "token"
    assert service["environment"]["RAY_AUTH_TOKEN_PATH"] == "/run/secrets/ray_token"


@pytest.mark.parametrize("name", RAYS)
def test_ray_has_room_for_its_objects_and_no_more_than_its_share(compose, name):
    service = compose["services"][name]

    assert without_default(service["shm_size"]) != "64mb"
    assert {*service["deploy"]["resources"]["limits"]} == {"cpus", "memory"}


def test_workers_join_the_head_where_it_listens(compose):
    head, worker = (compose["services"][name]["command"] for name in RAYS)

    host, port = option(worker, "address").split(":")
    assert (host, port) == ("head", option(head, "port"))
    (published,) = compose["services"]["head"]["ports"]
    assert published.split(":")[-1] == option(head, "dashboard-port")
    jobs = urlsplit(compose["services"]["nightly"]["environment"]["RAY_API_SERVER_ADDRESS"])
    assert (jobs.hostname, str(jobs.port)) == ("head", option(head, "dashboard-port"))


def test_prometheus_asks_every_node_where_it_shows_its_metrics(compose, deploy):
    path = deploy / "compose" / "prometheus.yml"
    (scrape,) = yaml.safe_load(path.read_text(encoding="utf-8"))["scrape_configs"]
    (found,) = scrape["dns_sd_configs"]

    assert {*found["names"]} == {*RAYS}
    ports = {option(compose["services"][name]["command"], "metrics-export-port") for name in RAYS}
    assert ports == {str(found["port"])}


def test_every_file_that_is_mounted_is_there(compose, deploy):
    sources = {
        volume.split(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", ())
        if volume.startswith(".")
    }

    assert {source for source in sources if not (deploy / source).exists()} == set()
    assert len(sources) == 8


def test_every_volume_that_is_named_is_declared_and_used(compose):
    named = {
        volume.split(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", ())
        if re.match(r"\w+:", volume)
    }

    assert named == {*compose["volumes"]}


def test_secrets_are_files_that_the_service_is_given(compose):
    for name, service in compose["services"].items():
        given = {*service.get("secrets", ())}
        assert given <= {*compose["secrets"]}
        asked = set(re.findall(r"/run/secrets/(\w+)", json.dumps(service)))
        assert asked == given, name


def test_no_variable_holds_a_secret_itself(compose):
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|TOKEN|SECRET|KEY|CREDENTIALS", name):
                assert value.startswith("/run/secrets/"), name


def test_every_variable_is_one_that_somebody_reads(compose, known_to, root, deploy):
    ours = "".join(
        path.read_text(encoding="utf-8")
        for path in [*root.glob("services/**/*.py"), *deploy.glob("compose/*.sh")]
    )
    for name, service in compose["services"].items():
        if "tessera" not in service["image"]:
            continue
        for variable in service["environment"]:
            if variable.endswith("_FILE") and variable.removesuffix("_FILE") in FROM_FILES:
                variable = variable.removesuffix("_FILE")
            readers = {"RAY_": "ray", "MLFLOW_": "mlflow", "AWS_": "botocore"}
            package = next((p for start, p in readers.items() if variable.startswith(start)), None)
            if package:
                assert known_to(package, variable), f"{name}: {variable}"
            else:
                assert variable in {"TZ", "PGPASSWORD"} or variable in ours, f"{name}: {variable}"


def test_the_tracking_server_is_started_with_flags_that_it_has(compose, commands, known_to):
    words = commands.split(compose["services"]["mlflow"]["command"])

    assert words[:2] == ["mlflow", "server"]
    # Read, not imported: the module of its commands takes ten seconds and warns of itself.
    flags = [word for word in words if word.startswith("--")]
    assert [flag for flag in flags if not known_to("mlflow", f'"{flag}"')] == []
    assert option(" ".join(words), "app-name") == "basic-auth"


def test_the_tracking_server_answers_the_names_that_it_is_called_by_and_no_others(compose, deploy):
    allowed = option(compose["services"]["mlflow"]["command"], "allowed-hosts").split(",")
    nights = Relabel.load("relabel", deploy / "nights.toml", {"archive": Path("/archive")})

    called = urlsplit(nights.tracking_uri).netloc
    assert is_allowed_host_header(allowed, called)
    assert is_allowed_host_header(allowed, "127.0.0.1:5000")
    assert not is_allowed_host_header(allowed, "attacker.example:5000")
    assert called.split(":")[0] in compose["services"]


def test_the_tracking_server_knows_its_users_and_its_databases(compose, deploy, known_to):
    users = configparser.ConfigParser()
    users.read(deploy / "compose" / "mlflow-auth.ini", encoding="utf-8")
    assert [key for key in users["mlflow"] if not known_to("mlflow", f'"{key}"')] == []
    made = (deploy / "compose" / "create-databases.sql").read_text(encoding="utf-8")
    database = compose["services"]["database"]["environment"]
    addresses = [
        users["mlflow"]["database_uri"],
        option(compose["services"]["mlflow"]["command"], "backend-store-uri"),
    ]

    for address in map(urlsplit, addresses):
        assert (address.hostname, address.password) == ("database", None)
        assert address.username == database["POSTGRES_USER"]
        name = address.path.removeprefix("/")
        assert name == database["POSTGRES_DB"] or f"CREATE DATABASE {name} " in made
    admin = compose["services"]["head"]["environment"]["MLFLOW_TRACKING_USERNAME"]
    assert users["mlflow"]["admin_username"] == admin


def test_the_bucket_is_made_where_artifacts_are_kept(compose):
    services = compose["services"]
    bucket = services["bucket"]["command"].split()[-1]

    assert option(services["mlflow"]["command"], "artifacts-destination") == f"s3://{bucket}"
    asked = services["mlflow"]["environment"]["MLFLOW_S3_ENDPOINT_URL"]
    assert urlsplit(asked).hostname == "store"
    assert f"-s3.port={urlsplit(asked).port}" in services["store"]["command"]
    assert services["bucket"]["environment"]["MLFLOW_S3_ENDPOINT_URL"] == asked


def test_settings_of_the_nights_are_ones_that_the_verbs_know(compose, deploy):
    nights = Relabel.load("relabel", deploy / "nights.toml", {"archive": Path("/archive")})
    Run.load("run", deploy / "nights.toml", {"archive": Path("/archive")})

    mounts = {volume.rsplit(":/", 1)[1].split(":")[0]
              for volume in compose["services"]["head"]["volumes"]}  # fmt: skip
    assert {str(folder).removeprefix("/") for folder in nights.watch_dir} <= mounts
    assert "archive" in mounts


def test_grafana_finds_the_dashboard(compose, deploy):
    provider = yaml.safe_load(
        (deploy / "compose" / "grafana-dashboards.yml").read_text(encoding="utf-8")
    )
    (where,) = {provided["options"]["path"] for provided in provider["providers"]}

    (source,) = [
        volume.split(":")[0]
        for volume in compose["services"]["grafana"]["volumes"]
        if volume.split(":")[1] == where
    ]
    assert list((deploy / source).glob("*.json"))
