"""A program in the place of `aws`: `aws s3 mb s3://B`, and operations whose flags are the members of their request.

So that commands in the documentation are held against botocore's own model, and run against simulated services.
"""

import sys
from pathlib import Path

import boto3
from botocore import xform_name


def main(arguments: list[str]) -> None:
    service, operation, *rest = arguments
    client = boto3.client(service)
    if (service, operation) == ("s3", "mb"):
        (address,) = rest
        client.create_bucket(Bucket=address.removeprefix("s3://"))
        return
    method = operation.replace("-", "_")
    shape = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method]).input_shape
    members = {"--" + xform_name(member, "-"): member for member in shape.members}
    request = {members[flag]: _text(value) for flag, value in zip(rest[::2], rest[1::2], strict=True)}
    getattr(client, method)(**request)


def _text(value: str) -> str:
    return Path(value.removeprefix("file://")).read_text("utf-8") if value.startswith("file://") else value


if __name__ == "__main__":
    main(sys.argv[1:])
