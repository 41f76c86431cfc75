"""A program in the place of `aws`: `aws s3 mb|rm|rb`, ECR's password, operations by their members.

A flag is a member of the operation's request. So that commands in the documentation are held against botocore's own
model, and run against simulated services.
"""

import base64
import sys
from pathlib import Path
from typing import Any

import boto3
from botocore import xform_name


def main(arguments: list[str]) -> None:
    service, operation, *rest = arguments
    client = boto3.client(service)
    if service == "s3":
        _transfer(client, operation, *rest)
        return
    if (service, operation, rest) == ("ecr", "get-login-password", []):
        token = client.get_authorization_token()["authorizationData"][0]["authorizationToken"]
        sys.stdout.write(base64.b64decode(token).decode().partition(":")[2] + "\n")
        return
    method = operation.replace("-", "_")
    shape = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method]).input_shape
    members = {"--" + xform_name(member, "-"): member for member in shape.members}
    request = {}
    while rest:
        member = members[rest.pop(0)]
        kind = shape.members[member].type_name
        request[member] = True if kind == "boolean" else _value(kind, rest.pop(0))
    getattr(client, method)(**request)


def _value(kind: str, text: str) -> Any:
    if kind == "integer":
        return int(text)
    return Path(text.removeprefix("file://")).read_text("utf-8") if text.startswith("file://") else text


def _transfer(client: Any, operation: str, address: str, *flags: str) -> None:
    """`aws s3`: make a bucket; remove what lies below a prefix, which must be something; remove a bucket."""
    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    if (operation, flags) == ("mb", ()):
        client.create_bucket(Bucket=bucket)
        return
    assert (operation, flags) in {("rm", ("--recursive",)), ("rb", ("--force",))}, operation
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [one["Key"] for page in pages for one in page.get("Contents", ())]
    assert keys, f"nothing lies at {address}"
    for key in keys:
        client.delete_object(Bucket=bucket, Key=key)
    if operation == "rb":
        client.delete_bucket(Bucket=bucket)


if __name__ == "__main__":
    main(sys.argv[1:])
