"""Where S3 is and who asks: what the AWS tools would take from the environment and the files that it names.

Endpoint: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, `endpoint_url` of the profile. Region: AWS_REGION, AWS_DEFAULT_REGION,
the profile's. Credentials: the variables; then, where botocore is installed, its whole chain (profile, assumed role,
SSO, process, container, instance role); without it obstore looks for a web identity, container or instance role.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vedette.contracts.errors import UnavailableError

if TYPE_CHECKING:
    from vedette.storage.address import S3Credential, S3Settings

REFRESH_S = 300  # how long credentials that expire are used before botocore is asked again


def s3_settings(environ: Mapping[str, str]) -> S3Settings:
    """What the AWS tools would take; credentials are looked for now, so that a mistake shows before work begins.

    Raises:
        AccessDeniedError: there are no credentials, or those of the profile cannot be used.
        AddressError: the endpoint is no address.
        UnavailableError: a profile is named and nothing is installed that reads it.
    """
    from vedette.storage.address import S3Settings

    has_keys = bool(environ.get("AWS_ACCESS_KEY_ID") and environ.get("AWS_SECRET_ACCESS_KEY"))
    session = None
    if not has_keys or environ.get("AWS_PROFILE") or _aws_file(environ, "AWS_CONFIG_FILE", "config").is_file():
        session = _botocore_session(environ, needed=not has_keys)
    endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    provider: Callable[[], S3Credential] | None = None
    if session is not None:
        endpoint, region = endpoint or _session_endpoint(session), region or _session_region(session)
    if has_keys:
        provider = _fixed_keys(environ)
    elif session is not None:
        provider = _session_keys(session)
    return S3Settings(endpoint or None, region or None, provider)


def aws_region(given: str | None) -> str | None:
    """The region given, or that of the environment, AWS_REGION first; None: the profile's, for boto3 to find."""
    return given or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None


def _fixed_keys(environ: Mapping[str, str]) -> Callable[[], S3Credential]:
    key, secret, token = (
        environ.get(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    )
    return lambda: {
        "access_key_id": key or "",
        "secret_access_key": secret or "",
        "token": token or None,
        "expires_at": None,
    }


def _aws_file(environ: Mapping[str, str], variable: str, name: str) -> Path:
    return Path(environ.get(variable) or Path.home() / ".aws" / name).expanduser()


def _botocore_session(environ: Mapping[str, str], *, needed: bool) -> Any:
    """botocore's session; None where it is not installed and nobody has named a profile."""
    try:
        import botocore.session
    except ModuleNotFoundError as error:
        named = environ.get("AWS_PROFILE")
        stored = _aws_file(environ, "AWS_SHARED_CREDENTIALS_FILE", "credentials").is_file()
        if needed and (named or stored):
            raise UnavailableError(
                f"reading {f'the AWS profile {named}' if named else 'AWS credential files'} needs 'boto3'; "
                "install it with: pip install boto3"
            ) from error
        return None
    return botocore.session.get_session()


def _session_region(session: Any) -> str | None:
    with _translated():
        found = session.get_config_variable("region")
    return found if isinstance(found, str) else None


def _session_endpoint(session: Any) -> str | None:
    """`endpoint_url` of the profile, or of its `services` section, as the AWS tools read them."""
    with _translated():
        profile = session.get_scoped_config()
        service = session.full_config.get("services", {}).get(profile.get("services", ""), {})
    found = service.get("s3", {}).get("endpoint_url") or profile.get("endpoint_url")
    return found if isinstance(found, str) else None


def _session_keys(session: Any) -> Callable[[], S3Credential]:
    """What asks botocore, which refreshes what expires."""
    from vedette.storage.errors import AccessDeniedError

    with _translated():
        credentials = session.get_credentials()
        if credentials is None:
            raise AccessDeniedError(
                "no AWS credentials found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, "
                "or run `aws configure`"
            )
        credentials.get_frozen_credentials()
    expires = hasattr(credentials, "refresh_needed")

    def give() -> S3Credential:
        frozen = credentials.get_frozen_credentials()
        until = datetime.now(timezone.utc) + timedelta(seconds=REFRESH_S) if expires else None
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": until,
        }

    return give


@contextmanager
def _translated() -> Iterator[None]:
    """What botocore says of profiles and sessions; it quotes names of profiles and files, never keys."""
    from botocore.exceptions import BotoCoreError

    from vedette.storage.errors import AccessDeniedError

    try:
        yield
    except BotoCoreError as error:
        raise AccessDeniedError(f"AWS credentials: {error}") from error
