"""A client of one of AWS's services by boto3, imported when it is needed; and what AWS refuses, in one sentence.

Being asked to wait (throttling) and broken connections are retried by botocore with growing pauses; what it gives up
on, and everything else, becomes one of `errors`. The text of AWS is quoted only where it holds no request: the answer
to a wrong signature would show the session token.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vedette.learn.sagemaker.errors import (
    JobError,
    JobNotFoundError,
    NotPermittedError,
    QuotaError,
    RequestError,
    ServiceUnreachableError,
)

PREFIXES = {"SageMaker": "sagemaker", "CloudWatch": "logs"}  # of the names of permissions
MOST_ATTEMPTS = 6  # pauses of up to 1, 2, 4, 8 and 16 s
NO_CREDENTIALS = (
    "no AWS credentials found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run `aws configure`"
)
NO_REGION = "no AWS region; set AWS_REGION, give --region, or run `aws configure`"
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_BAD_KEYS = {
    "UnrecognizedClientException": "the access key is not known",
    "InvalidClientTokenId": "the access key is not known",
    "InvalidSignatureException": "the secret key is wrong, or this computer's clock",
    "SignatureDoesNotMatch": "the secret key is wrong, or this computer's clock",
    "ExpiredToken": "the session has expired",
    "ExpiredTokenException": "the session has expired",
    "RequestExpired": "the request came too late: look at this computer's clock",
}
_THROTTLED = frozenset(
    {"ThrottlingException", "Throttling", "ThrottledException", "TooManyRequestsException", "RequestLimitExceeded"}
)


def open_client(name: str, region: str | None, endpoint_url: str | None = None) -> Any:
    """A client as the usual chain of AWS finds it: environment, profile, role.

    Raises:
        JobError: boto3 is not installed, or region or credentials are missing.
    """
    try:
        import boto3.session
        from botocore.config import Config
    except ModuleNotFoundError as error:
        raise ServiceUnreachableError("jobs need 'boto3'; install it with: pip install 'vedette[learn]'") from error
    config = Config(retries={"mode": "standard", "total_max_attempts": MOST_ATTEMPTS}, connect_timeout=10)
    with translated("SageMaker", name, ""):
        try:
            session: Any = boto3.session.Session(region_name=region)
            return session.client(name, endpoint_url=endpoint_url, config=config)
        except ValueError as error:  # "Invalid endpoint: foo", or the form of the region's name
            raise RequestError("region or endpoint (AWS_REGION, AWS_ENDPOINT_URL)", [f"{error}"]) from None


@contextmanager
def translated(service: str, operation: str, job: str) -> Iterator[None]:
    """What botocore raises, in one sentence; `None` behind `from` keeps requests out of chained errors."""
    from botocore import exceptions

    try:
        yield
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError):
        raise NotPermittedError(NO_CREDENTIALS) from None
    except exceptions.NoRegionError:
        raise NotPermittedError(NO_REGION) from None
    except exceptions.ParamValidationError as error:
        raise RequestError(operation, [line for line in str(error).splitlines()[1:] if line]) from None
    except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:  # endpoint, proxy, timeout, TLS
        raise ServiceUnreachableError(f"{service} cannot be reached ({error}); try again later") from None
    except exceptions.ClientError as error:
        raise _explain(service, operation, job, error) from None
    except exceptions.BotoCoreError as error:  # profiles, SSO, roles: names of profiles and files, never keys
        raise NotPermittedError(f"AWS credentials: {error}") from None


def without_control_signs(text: str) -> str:
    """Text of others as it may be shown on a terminal: lines and tabs stay."""
    return _CONTROL.sub("", text)


def _explain(service: str, operation: str, job: str, error: Any) -> JobError:
    code, text = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    named = f"job '{job}'" if job else "jobs"
    if code in _BAD_KEYS:
        return NotPermittedError(f"AWS refuses the credentials: {_BAD_KEYS[code]}")
    if "AccessDenied" in code or code == "UnauthorizedOperation":
        action = re.search(r"not authorized to perform: ([a-z0-9-]+:\w+)", text)
        wanted = action[1] if action else f"{PREFIXES[service]}:{operation}"
        who = re.search(r"User: (arn:\S{1,300})", text)
        return NotPermittedError(
            f"{who[1] if who else 'whoever asks'} has no permission {wanted} for {named}; "
            "add it to their policy (docs/how-to/sagemaker-permissions.md)"
        )
    if code in _THROTTLED or status == 429:
        return ServiceUnreachableError(
            f"{service} is asked too often ({operation}, {MOST_ATTEMPTS} attempts); try again in a minute"
        )
    if status >= 500:
        told = f": {_one_line(text)}" if text else ""  # of the service's own trouble, or a simulator's
        return ServiceUnreachableError(f"{service} fails at {operation} ({status} {code}{told}); try again later")
    if code == "ResourceLimitExceeded":
        return QuotaError(f"the account's quota does not hold this: {_one_line(text)}")
    if code == "ResourceInUse":
        return RequestError(named, ["there is one of this name already; give another --job-name"])
    if code == "ResourceNotFound" or re.search(r"not found|[Cc]ould not find", text):
        return JobNotFoundError(f"there is no {named} in this account and region")
    return RequestError(f"{operation} of {named}", [f"{service} refuses: {_one_line(text) or code}"])


def _one_line(text: str) -> str:
    return " ".join(text.split())[:500]
