"""The Kubernetes manifests: of the right shape, of one mind, and closed to root."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml
from ray.scripts.scripts import start

from services.scheduling.kubernetes import job_name, render_kubernetes
from services.scheduling.schedule import Schedule, relabel_command

SCHEMA = Path(__file__).with_name("schemas") / "kubernetes.json"
MANIFESTS = sorted((Path(__file__).resolve().parents[2] / "deploy" / "kubernetes").glob("*.yaml"))


@pytest.fixture(scope="module")
def cluster(kubernetes):
    (found,) = kubernetes["raycluster.yaml"]
    return found["spec"]


@pytest.fixture(scope="module")
def groups(cluster):
    """The head's and the workers' groups, by name."""
    return {
        "head": cluster["headGroupSpec"],
        **{g["groupName"]: g for g in cluster["workerGroupSpecs"]},
    }


def find(value, key):
    """Every value of a key, however deep."""
    if isinstance(value, dict):
        own = [value[key]] if key in value else []
        return own + [found for inner in value.values() for found in find(inner, key)]
    if isinstance(value, list):
        return [found for inner in value for found in find(inner, key)]
    return []


def size(quantity):
    number, unit = re.fullmatch(r"(\d+)(\w*)", quantity).groups()
    return int(number) * {"": 1, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}[unit]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_a_manifest_has_the_shape_that_kubernetes_knows(path):
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))

    for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        jsonschema.validate(document, schema)


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not on this machine")
def test_kubectl_puts_them_together(deploy):
    built = subprocess.run(
        ["kubectl", "kustomize", deploy / "kubernetes"], capture_output=True, text=True
    )

    assert built.returncode == 0, built.stderr
    kinds = {document["kind"] for document in yaml.safe_load_all(built.stdout)}
    assert {"RayCluster", "CronJob", "NetworkPolicy", "PodDisruptionBudget"} <= kinds


def test_what_is_applied_together_exists(kubernetes):
    (whole,) = kubernetes["kustomization.yaml"]

    made_by_hand = {"kustomization.yaml", "rayjob.yaml", "pod-monitor.yaml"}
    assert {*whole["resources"]} == {*kubernetes} - made_by_hand


def test_a_jobs_own_cluster_is_described_as_the_one_that_stays(kubernetes, cluster):
    (job,) = kubernetes["rayjob.yaml"]

    assert job["spec"]["rayClusterSpec"] == cluster


def test_a_jobs_verb_exists(kubernetes, commands):
    (job,) = kubernetes["rayjob.yaml"]
    program, *words = commands.split(job["spec"]["entrypoint"])

    assert program == "tessera"
    commands.check_tessera(words)


def test_the_ray_is_the_one_that_is_pinned(cluster, root):
    pinned = (root / "constraints.txt").read_text(encoding="utf-8")

    assert f"\nray=={cluster['rayVersion']}\n" in pinned


def test_every_container_has_the_token_mode_on(kubernetes):
    for name, documents in kubernetes.items():
        for container in [c for found in find(documents, "containers") for c in found]:
            given = {entry["name"]: entry.get("value") for entry in container["env"]}
            assert given.get("RAY_AUTH_MODE") == "token", f"{name} {container['name']}"


def test_variables_are_ones_that_somebody_reads(kubernetes, known_to):
    names = {
        entry["name"]
        for documents in kubernetes.values()
        for env in find(documents, "env")
        for entry in env
    }

    rays = {name for name in names if name.startswith("RAY_")}
    assert {name for name in rays if not known_to("ray", name)} == set()
    assert names - rays == {"OMP_NUM_THREADS"}


def test_the_token_is_in_one_secret(kubernetes, cluster):
    (nightly,) = kubernetes["nightly.yaml"]
    (reference,) = find(nightly, "secretKeyRef")

    assert reference == {"name": cluster["authOptions"]["secretName"], "key": "auth_token"}


def test_every_pod_runs_as_the_user_of_the_image(kubernetes, dockerfile):
    (user,) = {rest.split(":")[0] for word, rest in dockerfile if word == "USER"}

    found = [uid for documents in kubernetes.values() for uid in find(documents, "runAsUser")]
    assert {*map(str, found)} == {user}


def test_ray_is_started_with_flags_that_it_has(groups, commands):
    for group in groups.values():
        commands.check_flags(start, [f"--{name}" for name in group["rayStartParams"]])


def test_ports_are_those_that_ray_is_started_with(groups):
    (head,) = groups["head"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in head["ports"]}

    # Ray's defaults, but for the metrics; and no Ray Client, which nobody needs.
    assert ports == {"gcs-server": 6379, "dashboard": 8265, "metrics": 8080}
    for group in groups.values():
        assert group["rayStartParams"]["metrics-export-port"] == str(ports["metrics"])


@pytest.mark.parametrize("name", ["head", "cpu", "gpu"])
def test_objects_have_room_in_memory_within_the_limit(groups, name):
    pod = groups[name]["template"]["spec"]
    (container,) = pod["containers"]
    (mount,) = [m["name"] for m in container["volumeMounts"] if m["mountPath"] == "/dev/shm"]
    (volume,) = [v["emptyDir"] for v in pod["volumes"] if v["name"] == mount]

    assert volume["medium"] == "Memory"
    room = size(volume["sizeLimit"])
    assert size("1Gi") <= room <= size(container["resources"]["limits"]["memory"]) / 2


@pytest.mark.parametrize("name", ["head", "cpu", "gpu"])
def test_what_is_mounted_is_a_volume_of_a_claim_that_is_made(groups, kubernetes, name):
    pod = groups[name]["template"]["spec"]
    (container,) = pod["containers"]
    claims = {document["metadata"]["name"] for document in kubernetes["storage.yaml"]}

    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == {*volumes}
    assert {claim["claimName"] for claim in find(pod, "persistentVolumeClaim")} == claims
    paths = {
        mount["mountPath"]: mount.get("readOnly", False) for mount in container["volumeMounts"]
    }
    assert (paths["/archive"], paths["/incoming"]) == (False, True)


def test_the_head_does_no_tiles_and_workers_are_of_a_fixed_number(groups):
    assert groups["head"]["rayStartParams"]["num-cpus"] == "0"
    assert groups["cpu"]["minReplicas"] == groups["cpu"]["replicas"] == groups["cpu"]["maxReplicas"]


def test_the_accelerators_group_asks_for_one_and_has_the_image_for_it(groups):
    (container,) = groups["gpu"]["template"]["spec"]["containers"]

    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container["image"].endswith("-cuda")


def test_budgets_are_for_pods_of_this_cluster(kubernetes):
    (cluster,) = kubernetes["raycluster.yaml"]
    budgets = {
        tuple(sorted(b["spec"]["selector"]["matchLabels"].items())): b["spec"]["maxUnavailable"]
        for b in kubernetes["disruption-budgets.yaml"]
    }

    name = ("ray.io/cluster", cluster["metadata"]["name"])
    assert budgets == {
        (name, ("ray.io/node-type", "head")): 0,
        (name, ("ray.io/node-type", "worker")): 1,
    }


def test_the_night_is_the_one_that_tessera_schedule_prints(kubernetes):
    (nightly,) = kubernetes["nightly.yaml"]
    archive, settings = Path("/archive"), "/archive/nights.toml"
    schedule = Schedule("04:00", "Europe/Berlin", ("/incoming",), "kubernetes", settings)
    printed = yaml.safe_load(render_kubernetes(schedule, archive=archive, image="i", claim="c"))

    ours, theirs = nightly["spec"], printed["spec"]
    names = {*theirs} - {"jobTemplate"}
    assert {name: ours[name] for name in names} == {name: theirs[name] for name in names}
    assert (
        ours["jobTemplate"]["spec"]["backoffLimit"]
        == (theirs["jobTemplate"]["spec"]["backoffLimit"])
    )
    assert nightly["metadata"]["name"] == printed["metadata"]["name"] == job_name("archive")
    script = " ".join(find(nightly, "command")[0][-1].replace("$$(", "$(").split())
    command = relabel_command([], archive, schedule)
    run_id = re.search(r'"\$\(.*\)"', command)[0]
    assert f"night={run_id} && " in script
    assert f" -- {command.replace(run_id, chr(34) + '$night' + chr(34))}" in script


def test_the_night_is_submitted_with_flags_that_exist_to_the_head_of_the_cluster(
    kubernetes, commands
):
    (nightly,) = kubernetes["nightly.yaml"]
    (cluster,) = kubernetes["raycluster.yaml"]
    script = find(nightly, "command")[0][-1]

    submit, _, verb = script.partition("exec ")[2].partition(" -- ")
    words = commands.split(submit)
    assert words[:2] == ["tessera", "submit"]
    commands.check_tessera(words[1:])
    commands.check_tessera(commands.split(verb))
    (env,) = find(nightly, "env")
    addresses = {entry["name"]: entry.get("value") for entry in env}
    # KubeRay names the head's service so.
    service = f"http://{cluster['metadata']['name']}-head-svc:8265"
    assert addresses["RAY_API_SERVER_ADDRESS"] == service


def test_the_submitter_can_read_the_settings_that_it_sends_and_write_nothing(kubernetes, commands):
    (nightly,) = kubernetes["nightly.yaml"]
    words = commands.split(find(nightly, "command")[0][-1])
    settings = words[words.index("--settings") + 1]

    (mounts,) = find(nightly, "volumeMounts")
    (volumes,) = find(nightly, "volumes")
    claims = {doc["metadata"]["name"] for doc in kubernetes["storage.yaml"]}

    (mount,) = [m for m in mounts if settings.startswith(f"{m['mountPath']}/")]
    assert mount["readOnly"]
    (volume,) = [v for v in volumes if v["name"] == mount["name"]]
    assert volume["persistentVolumeClaim"]["claimName"] in claims


def test_the_nights_script_runs_as_a_shell_reads_it(kubernetes, tmp_path):
    (nightly,) = kubernetes["nightly.yaml"]
    shell, flag, script = find(nightly, "command")[0]
    (tmp_path / "tessera").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "tessera").chmod(0o755)

    said = subprocess.run(
        [shell, flag, script.replace("$$(", "$(")],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip

    assert said[0] == "submit"
    assert said[-2] == "--run-id"
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", said[-1])
    assert said[said.index("--run-id") + 1] == said[-1]
