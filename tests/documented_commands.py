"""The commands that a page of the documentation shows."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
TUTORIAL = REPOSITORY / "docs" / "tutorial" / "sagemaker.md"


def commands_of(page: Path, block: str = "sh") -> str:
    """Every block of the shell; those of no kind are commands that only a true account, or Docker, takes."""
    return "\n".join(re.findall(rf"^```{block}\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE))


def expressions_of_images(page: Path) -> list[str]:
    """What a page gives to `--image`, or as `image:` in a file."""
    return re.findall(r"(?:--image |^image: )(\S+)", page.read_text("utf-8"), re.MULTILINE)
