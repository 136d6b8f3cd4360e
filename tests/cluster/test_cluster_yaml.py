"""`cluster.yaml` by Ray's and AWS's own rules, and against a made-up AWS."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def plain() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "cluster.yaml").read_text())


@pytest.fixture(scope="module")
def prepared(plain) -> dict[str, Any]:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(plain)
    validate_config(config)
    return config


def requests(prepared: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What Ray asks EC2 for, by kind of node."""
    for name, kind in prepared["available_node_types"].items():
        yield name, {**kind["node_config"], "MinCount": 1, "MaxCount": 1}


def validator() -> tuple[Any, Any]:
    import botocore.session
    from botocore.validate import ParamValidator

    model = botocore.session.get_session().get_service_model("ec2")
    return ParamValidator(), model.operation_model("RunInstances").input_shape


def test_ray_accepts_it(prepared) -> None:
    assert prepared["head_node_type"] == "head"
    assert prepared["available_node_types"]["gpu"]["max_workers"] == 8


def test_aws_accepts_what_is_asked_of_it(prepared) -> None:
    rule, shape = validator()
    for name, request in requests(prepared):
        assert not rule.validate(request, shape).has_errors(), name


@pytest.mark.parametrize("typo", [{"InstanceTypo": "g5.xlarge"}, {"BlockDeviceMappings": {"Ebs": {}}}])
def test_a_typo_in_it_would_be_found(prepared, typo) -> None:
    rule, shape = validator()
    for _, request in requests(prepared):
        assert rule.validate({**request, **typo}, shape).has_errors()


def test_instance_types_are_ones_that_aws_has(prepared) -> None:
    shape = validator()[1]
    known = shape.members["InstanceType"].enum
    assert {request["InstanceType"] for _, request in requests(prepared)} <= set(known)


def test_versions_are_those_of_the_constraints(plain) -> None:
    constraints = (ROOT / "constraints.txt").read_text()
    commands = " ".join(plain["setup_commands"])
    named = re.findall(r"(?<![\w/])([a-z][\w-]*)==([\w.]+)", commands)
    assert {name for name, _ in named} == {"ray", "torch"}
    for name, version in named:
        assert re.search(rf"^{name}=={re.escape(version)}(;|$)", constraints, re.MULTILINE), name
    assert "-c ~/rectools-tuner/constraints.txt" in commands


def test_it_is_safe_and_frugal(plain) -> None:
    head, gpu = (plain["available_node_types"][name] for name in ("head", "gpu"))
    start = " ".join(plain["head_start_ray_commands"])
    assert head["resources"] == {"CPU": 0}
    assert "--num-cpus=0" in start
    assert "--dashboard-host=127.0.0.1" in start
    assert "RAY_AUTH_MODE=token" in start
    assert "RAY_AUTH_MODE=token" in " ".join(plain["worker_start_ray_commands"])
    assert gpu["min_workers"] == 0
    assert gpu["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
    assert "IamInstanceProfile" in gpu["node_config"]
    assert plain["provider"]["cache_stopped_nodes"] is False
    assert "docker" not in plain


@pytest.fixture
def aws(monkeypatch, tmp_path) -> Iterator[Any]:
    """An AWS in this process, with the two profiles that docs/cluster.md makes, and a home without keys."""
    moto = pytest.importorskip("moto")
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(key, "testing")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with moto.mock_aws():
        import boto3

        iam = boto3.client("iam")
        for name in ("rectools-tuner-head", "rectools-tuner-worker"):
            iam.create_instance_profile(InstanceProfileName=name)
        yield boto3


@pytest.mark.slow
def test_a_made_up_aws_is_bootstrapped_and_starts_spot_workers(aws, plain) -> None:
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
    from ray.autoscaler._private.util import prepare_config

    for kind in plain["available_node_types"].values():
        kind["node_config"]["ImageId"] = "ami-12c6146b"  # moto knows no parameters of SSM
    config = AWSNodeProvider.bootstrap_config(prepare_config(plain))
    provider = AWSNodeProvider(config["provider"], "rectools-tuner")
    kinds = config["available_node_types"]
    provider.create_node(kinds["head"]["node_config"], {"ray-node-type": "head"}, 1)
    provider.create_node(kinds["gpu"]["node_config"], {"ray-node-type": "worker"}, 1)

    ec2 = aws.client("ec2", region_name="us-east-1")
    started = [one for group in ec2.describe_instances()["Reservations"] for one in group["Instances"]]
    by_type = {one["InstanceType"]: one for one in started}
    assert sorted(one["InstanceType"] for one in started) == ["g5.xlarge", "m6i.large"]
    assert by_type["g5.xlarge"]["InstanceLifecycle"] == "spot"
    assert "InstanceLifecycle" not in by_type["m6i.large"]
    assert "rectools-tuner-worker" in by_type["g5.xlarge"]["IamInstanceProfile"]["Arn"]

    groups = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["ray-autoscaler-*"]}])
    open_ports = {
        (rule["FromPort"], rule["ToPort"])
        for group in groups["SecurityGroups"]
        for rule in group["IpPermissions"]
        if any(given["CidrIp"] == "0.0.0.0/0" for given in rule.get("IpRanges", ()))
    }
    assert open_ports == {(22, 22)}
