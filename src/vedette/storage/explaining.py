"""What an error of obstore stands for, in one sentence of ours.

obstore tells most of it in a text only. The text never goes on: the answer of a server to a wrong signature quotes the
request with its session token. Statuses and codes are those of S3's API reference.
"""

import re

from vedette.storage.errors import (
    AccessDeniedError,
    AddressError,
    ObjectNotFoundError,
    StorageError,
    UnreachableError,
)

NOT_PARTIAL = "non-partial response"  # object_store: a range was asked for, the answer's status is not 206


def explain(shown: str, told: str, bucket: str, endpoint_url: str | None) -> StorageError:
    """The error that the text of an obstore error stands for."""
    code = next(iter(re.findall(r"<Code>(\w{1,60})</Code>", told)), "")
    status = int(next(iter(re.findall(r"status code: (\d{3})", told)), "0"))
    where = endpoint_url or ("Amazon S3" if bucket else "the file system")
    if code == "NoSuchBucket":
        return ObjectNotFoundError(f"{shown}: there is no bucket '{bucket}' at {where}; create it first")
    if "InvalidAccessKeyId" in code or code in {"SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"}:
        why = {"SignatureDoesNotMatch": "the secret key is wrong", "InvalidAccessKeyId": "the access key is not known"}
        return AccessDeniedError(
            f"{shown}: {where} refuses the credentials ({why.get(code, 'the session has expired')}); "
            "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        )
    if "External AWS credential provider" in told or "//169.254.1" in told:
        return AccessDeniedError(
            f"{shown}: no AWS credentials found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        )
    if (
        status in {301, 307}
        or code in {"AuthorizationHeaderMalformed", "PermanentRedirect"}
        or "Redirect" in told[:300]
    ):
        return AddressError(f"{shown}: the bucket lies in another region; set AWS_REGION to the bucket's")
    if status in {401, 403} or "privileges" in told[:100] or "Permission denied" in told:
        return AccessDeniedError(f"{shown}: {where} does not allow this ({code or status or 'permission denied'})")
    if status == 404 or told.startswith("Object at location") or "No such file" in told:
        return ObjectNotFoundError(f"{shown}: there is no such object")
    if status >= 500 or status == 429 or "HTTP error" in told or code == "SlowDown" or NOT_PARTIAL in told:
        reason = f"it answers {status} {code}".rstrip() if status else _reason(told)
        return UnreachableError(f"{shown}: {where} cannot be reached ({reason}); try again later")
    return StorageError(
        f"{shown}: {where} refuses ({f'{status} {code}'.strip() if status else told.splitlines()[0][:120]})"
    )


def _reason(told: str) -> str:
    """Why no answer came, from the debug text of the HTTP client."""
    for sign, reason in (
        ("dns error", "its name is not known"),
        ("Connection refused", "connection refused"),
        ("certificate", "its TLS certificate is not trusted"),
        ("imed", "no answer in time"),
        ("Builder", "the endpoint is no address"),
    ):
        if sign in told:
            return reason
    return "the connection broke"
