"""The flags of `vedette run` about the cameras' own video: `--publish URL`, `--clips DIR`, `--clips-quota 20GB,14d`."""

import re
from typing import Any

from vedette.contracts.camera_url import SEEN_IN_ARGUMENTS, hide_query_secrets

_QUOTA = re.compile(r"^(\d+(?:\.\d+)?)\s*(GB|MB|d)$", re.IGNORECASE)
_QUOTA_SENTENCE = "--clips-quota: give what all clips may take, as 20GB or 500MB, how long they stay, as 14d, or both"


def take_video_flags(settings: dict[str, Any], mistakes: list[str]) -> dict[str, Any]:
    """What they say in a pipeline's words; they are taken out of `settings`."""
    publish, clips, quota = (settings.pop(name, None) for name in ("publish", "clips", "clips_quota"))
    document: dict[str, Any] = {}
    if publish is not None:
        document["publish"] = {"url": publish}
        if hide_query_secrets(publish) != publish:
            mistakes.append(
                f"--publish: {hide_query_secrets(publish)}: a password {SEEN_IN_ARGUMENTS}, or with this URL, where "
                "only this user can read it"
            )
    if clips is not None:
        document["clips"] = {"folder": str(clips)}
    if quota is not None and clips is None:
        mistakes.append("--clips-quota: is for clips; give --clips as well")
    elif quota is not None:
        try:
            document["clips"] |= parse_quota(quota)
        except ValueError as error:
            mistakes.append(str(error))
    return document


def parse_quota(text: str) -> dict[str, float | None]:
    """`most_gb` and `most_days`; with days alone there is no limit of bytes.

    Raises:
        ValueError: it is no quota.
    """
    found: dict[str, float | None] = {"most_gb": None}
    for part in text.split(","):
        match = _QUOTA.match(part.strip())
        if match is None or float(match.group(1)) <= 0:
            raise ValueError(_QUOTA_SENTENCE)
        number, unit = float(match.group(1)), match.group(2).lower()
        found["most_days" if unit == "d" else "most_gb"] = number / 1000 if unit == "mb" else number
    return found
