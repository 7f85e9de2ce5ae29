"""deploy/k8s: HIP-35's Deployment key by key, and a Deployment for every service."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from libs.bus.rights import ROLES
from services.commands.serving import CLIENTS, SERVICES
from tests.deploy.reading import DEPLOY, K8S, NATS, manifest, manifests, pods, read_yaml

WORKER = manifest("Deployment", "studio-worker")
POD: dict[str, Any] = WORKER["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
FILES = sorted(set(K8S.glob("*.yaml")) - {K8S / "kustomization.yaml"})
PODS = pods()
CPU_SERVICES = [name for name in SERVICES if name != "gpu_worker"]
CONFIG: dict[str, str] = manifest("ConfigMap", "studio-config")["data"]


@pytest.mark.covers("R329")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_kubernetes_takes_the_file(path: Path):
    for one in yaml.safe_load_all(path.read_text()):
        kubernetes_validate.validate(one, "1.37", strict=True)


def test_what_is_misspelt_would_be_found():
    wrong = deepcopy(manifest("Deployment", "studio-scheduler"))
    wrong["spec"]["replica"] = wrong["spec"].pop("replicas")
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        kubernetes_validate.validate(wrong, "1.37", strict=True)


@pytest.mark.covers("R329", "R330", "R331")
def test_the_worker_is_the_deployment_of_the_specification():
    assert WORKER["apiVersion"] == "apps/v1"
    assert WORKER["metadata"] == {"name": "studio-worker", "namespace": "hanzo"}
    assert WORKER["spec"]["replicas"] == 3
    assert WORKER["spec"]["selector"] == {"matchLabels": {"app": "studio-worker"}}
    assert WORKER["spec"]["template"]["metadata"]["labels"]["app"] == "studio-worker"


@pytest.mark.covers("R332")
def test_the_worker_runs_the_image_of_the_specification():
    assert CONTAINER["name"] == "studio"
    assert CONTAINER["image"] == "hanzoai/studio:latest"
    assert [port["containerPort"] for port in CONTAINER["ports"]] == [8188]


@pytest.mark.covers("R333", "R334")
def test_the_worker_has_one_gpu_and_its_memory():
    assert CONTAINER["resources"] == {
        "limits": {"nvidia.com/gpu": 1, "memory": "32Gi"},
        "requests": {"nvidia.com/gpu": 1, "memory": "24Gi"},
    }


@pytest.mark.covers("R335", "R338")
def test_the_models_lie_on_the_fast_disk_of_the_machine():
    assert {"name": "model-cache", "mountPath": "/models"} in CONTAINER["volumeMounts"]
    disk = {"path": "/mnt/nvme/models", "type": "DirectoryOrCreate"}
    assert {"name": "model-cache", "hostPath": disk} in POD["volumes"]


@pytest.mark.covers("R336")
def test_the_workers_api_key_comes_from_the_secret():
    reference = {"secretKeyRef": {"name": "hanzo-secrets", "key": "api-key"}}
    assert {"name": "HANZO_API_KEY", "valueFrom": reference} in CONTAINER["env"]


@pytest.mark.covers("R337")
def test_the_worker_goes_where_an_a100_is():
    assert POD["nodeSelector"] == {"gpu-type": "a100"}


@pytest.mark.parametrize("service", CPU_SERVICES)
def test_every_service_has_a_deployment_that_starts_it(service: str):
    (container,) = PODS[f"studio-{service}"]["spec"]["containers"]
    assert container["args"][0] == service
    assert container["image"] == "hanzoai/studio:cpu"


def test_the_worker_and_the_provisioning_are_started_by_their_own_commands():
    assert CONTAINER["args"][0] == "gpu_worker"
    (job,) = PODS["studio-provision"]["spec"]["containers"]
    assert job["args"] == ["provision"]


def test_two_schedulers_stand_by_for_each_other():
    assert manifest("Deployment", "studio-scheduler")["spec"]["replicas"] == 2


@pytest.mark.parametrize("user", [*ROLES, "provision"])
def test_a_service_logs_in_to_nats_as_itself_with_its_own_password(user: str):
    name = "studio-worker" if user == "gpu_worker" else f"studio-{user}"
    (container,) = PODS[name]["spec"]["containers"]
    told = {one["name"]: one for one in container["env"]}
    assert told["NATS_USER"]["value"] == user
    reference = told["NATS_PASSWORD"]["valueFrom"]["secretKeyRef"]
    assert reference == {"name": "nats-users", "key": f"NATS_PASSWORD_{user.upper()}"}


def test_every_key_of_a_secret_that_is_asked_for_is_in_the_template():
    template = {
        one["metadata"]["name"]: set(one["stringData"])
        for one in manifests()
        if one["kind"] == "Secret"
    }
    asked = [
        one["valueFrom"]["secretKeyRef"]
        for pod in PODS.values()
        for container in pod["spec"]["containers"]
        for one in container.get("env", [])
        if "secretKeyRef" in one.get("valueFrom", {})
    ]
    assert asked
    assert [one for one in asked if one["key"] not in template[one["name"]]] == []


@pytest.mark.parametrize("name", PODS)
def test_a_pod_is_no_root_and_writes_to_its_volumes_only(name: str):
    spec = PODS[name]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["automountServiceAccountToken"] is False
    assert manifest("ServiceAccount", spec["serviceAccountName"])
    for container in spec["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        volumes = {volume["name"] for volume in spec.get("volumes", [])} | {"data"}
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


@pytest.mark.parametrize("name", [name for name in PODS if name != "studio-provision"])
def test_a_pod_is_asked_whether_it_lives_and_whether_it_is_ready(name: str):
    (container,) = PODS[name]["spec"]["containers"]
    ready = "/healthz?js-server-only=true" if name == "nats" else "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"].startswith("/healthz")
    assert container["readinessProbe"]["httpGet"]["path"] == ready
    ports = {port["name"] for port in container["ports"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] in ports


@pytest.mark.parametrize("name", [f"studio-{name}" for name in (*CPU_SERVICES, "worker")])
def test_a_pod_is_given_longer_to_leave_than_its_service_drains(name: str):
    (container,) = PODS[name]["spec"]["containers"]
    told = CONFIG | {one["name"]: one.get("value", "") for one in container["env"]}
    assert PODS[name]["spec"]["terminationGracePeriodSeconds"] > float(told["STUDIO_DRAIN_SECONDS"])


@pytest.mark.parametrize("name", [name for name in PODS if name != "studio-provision"])
def test_a_drained_node_takes_one_pod_of_a_kind_at_a_time(name: str):
    budget = manifest("PodDisruptionBudget", name)["spec"]
    assert budget["maxUnavailable"] == 1
    app = budget["selector"]["matchLabels"]["app"]
    assert PODS[name]["metadata"]["labels"]["app"] == app


def test_who_may_reach_the_bus_is_who_belongs_to_the_house_and_is_no_client_of_it():
    part = "app.kubernetes.io/part-of"
    for name, pod in PODS.items():
        assert pod["metadata"]["labels"][part] == "hanzo-studio", name
    policy = manifest("NetworkPolicy", "nats-clients")["spec"]
    (source,) = policy["ingress"][0]["from"]
    assert source["podSelector"]["matchLabels"] == {part: "hanzo-studio"}
    clients = [f"studio-{name}" for name in sorted(CLIENTS)]
    (but,) = source["podSelector"]["matchExpressions"]
    assert but == {"key": "app", "operator": "NotIn", "values": clients}


@pytest.mark.parametrize("name", ["studio-gateway", "studio-painter"])
def test_what_answers_people_grows_with_them_and_says_its_number_once(name: str):
    scaler = manifest("HorizontalPodAutoscaler", name)["spec"]
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    assert scaler["minReplicas"] >= 2
    assert "replicas" not in manifest("Deployment", name)["spec"]


def test_every_pod_says_what_it_needs_and_the_most_it_takes():
    for name, pod in PODS.items():
        (container,) = pod["spec"]["containers"]
        assert "memory" in container["resources"]["requests"], name
        assert "memory" in container["resources"]["limits"], name


def test_the_folders_that_the_image_names_are_mounted_in_the_worker():
    image = (DEPLOY / "gpu.Dockerfile").read_text()
    mounted = {mount["mountPath"]: mount.get("readOnly") for mount in CONTAINER["volumeMounts"]}
    for variable in ("STUDIO_WORKER_MODELS", "STUDIO_WORKER_NODE_PACKS", "STUDIO_HOME"):
        (folder,) = re.findall(rf"{variable}=(\S+)", image)
        assert folder in mounted
    # Code that the worker executes is nothing that the worker writes.
    assert mounted["/node_packs"] is True


def test_kustomize_is_told_of_every_file():
    resources = read_yaml(K8S / "kustomization.yaml")["resources"]
    files = {path.name for path in FILES} - {"secrets.template.yaml"}
    assert set(resources) == files | {"../nats"}
    (generated,) = read_yaml(NATS / "kustomization.yaml")["configMapGenerator"]
    (config,) = [
        volume["configMap"]["name"]
        for volume in PODS["nats"]["spec"]["volumes"]
        if "configMap" in volume
    ]
    assert config == generated["name"]
    assert all((NATS / name).is_file() for name in generated["files"])


def test_every_copy_of_the_streams_has_a_server():
    assert (
        int(CONFIG["STUDIO_STREAM_REPLICAS"]) == manifest("StatefulSet", "nats")["spec"]["replicas"]
    )
