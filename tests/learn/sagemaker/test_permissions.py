"""The policies in deploy/sagemaker allow what the code asks AWS for, and nothing else.

What it asks for is read from the source: the methods of boto3's client that are called, the requests of obstore, and
the modules that could make others.
"""

import ast
import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import boto3
import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
SOURCE = REPOSITORY / "src" / "vedette"
POLICIES = REPOSITORY / "deploy" / "sagemaker"
# Service authorization reference of S3: what each request of obstore needs
OBSTORE_ACTIONS = {
    "list": {"s3:ListBucket"},
    "head": {"s3:GetObject"},
    "get": {"s3:GetObject"},
    "put": {"s3:PutObject", "s3:AbortMultipartUpload"},
    "delete": {"s3:DeleteObject"},
}
# Creating a job hands it the role, and tags it
ALONGSIDE = {"sagemaker:CreateTrainingJob": {"iam:PassRole", "sagemaker:AddTags"}}
# Amazon SageMaker AI developer guide, "SageMaker AI roles": what a training job does in the role's name; and the
# deletion of what the container deletes of its checkpoints
EXECUTION_ACTIONS = {
    "cloudwatch:PutMetricData",
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:GetAuthorizationToken",
    "ecr:GetDownloadUrlForLayer",
    "logs:CreateLogGroup",
    "logs:CreateLogStream",
    "logs:DescribeLogStreams",
    "logs:PutLogEvents",
    "s3:DeleteObject",
    "s3:GetObject",
    "s3:ListBucket",
    "s3:PutObject",
}
WITHOUT_RESOURCES = {"sagemaker:ListTrainingJobs", "ecr:GetAuthorizationToken", "cloudwatch:PutMetricData"}


def statements(name: str) -> list[dict[str, Any]]:
    document = json.loads((POLICIES / name).read_text("utf-8"))
    assert document["Version"] == "2012-10-17"
    found: list[dict[str, Any]] = document["Statement"]
    return found


def allowed(name: str) -> set[str]:
    assert all(one["Effect"] == "Allow" for one in statements(name))
    return {action for one in statements(name) for action in one["Action"]}


@lru_cache(maxsize=1)
def trees() -> dict[str, ast.Module]:
    """All of the source but the simulator, which asks only servers of its own."""
    paths = [path for path in SOURCE.rglob("*.py") if "simulator" not in path.parts]
    return {path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text("utf-8")) for path in paths}


def importers(module: str) -> set[str]:
    found = set()
    for name, tree in trees().items():
        for node in ast.walk(tree):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(one.partition(".")[0] == module for one in names):
                found.add(name)
    return found


# Which service each module's `self._client` is of; the prefix of its actions is the same
CLIENTS = {
    "learn/sagemaker/job_service.py": "sagemaker",
    "learn/sagemaker/job_logs.py": "logs",
}


@lru_cache(maxsize=1)
def client_actions() -> frozenset[str]:
    """Every call `self._client.METHOD(...)`, by the name of its operation."""
    actions: set[str] = set()
    for module, service in CLIENTS.items():
        methods = {
            node.func.attr
            for node in ast.walk(trees()[module])
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            if isinstance(node.func.value, ast.Attribute) and node.func.value.attr == "_client"
        }
        client = boto3.client(service, region_name="us-east-1")
        try:
            mapping = client.meta.method_to_api_mapping
            assert methods <= set(mapping)
            actions |= {f"{service}:{mapping[method]}" for method in methods}
        finally:
            client.close()
    return frozenset(actions)


def obstore_functions() -> set[str]:
    text = (SOURCE / "storage" / "store.py").read_text("utf-8")
    return set(re.findall(r"\bobstore\.(\w+)\(", text))


def outside_simulator(modules: set[str]) -> set[str]:
    """The simulator speaks to servers that it has started itself on this computer, never to AWS."""
    return {name for name in modules if not name.startswith("learn/sagemaker/simulator/")}


def callers(function: str) -> set[str]:
    """Modules that call a function by its name."""
    return {
        name
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function
    }


def test_only_known_modules_can_ask_aws() -> None:
    assert outside_simulator(importers("boto3")) == {"learn/sagemaker/aws_client.py"}
    assert callers("open_client") == set(CLIENTS)
    assert outside_simulator(importers("botocore")) == {
        "apps/aws_settings.py",  # credentials, which need no permission
        "learn/sagemaker/aws_client.py",
        "learn/sagemaker/job_checks.py",  # the service model, from its files
    }
    assert importers("obstore") <= {"storage/store.py", "storage/explaining.py", "storage/parallel.py"}
    for library in ("requests", "s3fs", "aiobotocore", "sagemaker"):
        assert importers(library) == set()


def test_nothing_in_the_container_asks_aws() -> None:
    """Data, model and checkpoints are SageMaker's to carry: network isolation works."""
    for name, tree in trees().items():
        if not name.startswith("learn/sagemaker/container/"):
            continue
        text = ast.unparse(tree)
        assert not re.search(r"S3Settings|boto3|botocore|obstore|urllib|http\.client", text), name
        # the hosts of one job may reach each other in isolation too
        assert "socket" not in text or name == "learn/sagemaker/container/several.py", name


def test_what_the_code_calls_is_known() -> None:
    assert client_actions() == {
        "logs:DescribeLogStreams",
        "logs:GetLogEvents",
        "sagemaker:CreateTrainingJob",
        "sagemaker:DescribeTrainingJob",
        "sagemaker:ListTrainingJobs",
        "sagemaker:StopTrainingJob",
    }
    assert obstore_functions() == set(OBSTORE_ACTIONS)


def deleting_modules() -> set[str]:
    """Who calls `Store.delete`, but for the store itself."""
    return {
        name
        for name, tree in trees().items()
        if name != "storage/store.py" and outside_simulator({name})
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "delete"
    }


def test_the_caller_may_do_what_the_code_does_and_nothing_else() -> None:
    asked = set(client_actions())
    for action in sorted(asked):
        asked |= ALONGSIDE.get(action, set())
    assert deleting_modules() == set()  # so that nobody needs s3:DeleteObject
    for function in obstore_functions() - {"delete"}:
        asked |= OBSTORE_ACTIONS[function]

    assert allowed("caller-policy.json") == asked


def test_the_role_may_do_what_sagemaker_does_in_its_name_and_nothing_else() -> None:
    assert allowed("execution-role-policy.json") == EXECUTION_ACTIONS


@pytest.mark.parametrize("name", ["caller-policy.json", "execution-role-policy.json"])
def test_no_permission_is_wider_than_it_must_be(name: str) -> None:
    for one in statements(name):
        assert all("*" not in action for action in one["Action"])
        if one["Resource"] == "*":
            assert set(one["Action"]) <= WITHOUT_RESOURCES
        else:
            assert re.match(
                r"arn:aws:(s3:::BUCKET|(sagemaker|logs|ecr):REGION:ACCOUNT:|iam::ACCOUNT:)", one["Resource"]
            )


def test_the_role_is_given_to_sagemaker_only() -> None:
    (passing,) = [one for one in statements("caller-policy.json") if "iam:PassRole" in one["Action"]]
    assert passing["Resource"] == "arn:aws:iam::ACCOUNT:role/EXECUTION_ROLE"
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    (trust,) = statements("execution-role-trust.json")
    assert (trust["Principal"], trust["Action"]) == ({"Service": "sagemaker.amazonaws.com"}, "sts:AssumeRole")


def test_only_checkpoints_may_be_deleted() -> None:
    (deleting,) = [one for one in statements("execution-role-policy.json") if "s3:DeleteObject" in one["Action"]]
    assert deleting["Resource"] == "arn:aws:s3:::BUCKET/jobs/*/checkpoints/*"


def test_the_guide_names_every_action_and_file() -> None:
    text = (REPOSITORY / "docs" / "how-to" / "sagemaker-permissions.md").read_text("utf-8")
    for name in ("caller-policy.json", "execution-role-policy.json"):
        assert [action for action in sorted(allowed(name)) if f"`{action}`" not in text] == []
    for path in POLICIES.glob("*.json"):
        assert path.name in text
