"""Where everything lies below /opt/ml, or wherever it is relocated to; files of it are read here, once and bounded.

Source: Amazon SageMaker AI developer guide, "Use your own training algorithms", and the environment variables of
sagemaker-training-toolkit 5, which count before the files where they are set.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vedette.learn.sagemaker.errors import ContractError

BASE = Path("/opt/ml")
RELOCATED = "SAGEMAKER_BASE_DIR"  # the toolkit's own name for it
MOST_CONFIG_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Folders:
    """The places of one job."""

    base: Path
    model: Path
    checkpoints: Path

    @property
    def config(self) -> Path:
        return self.base / "input" / "config"

    @property
    def data(self) -> Path:
        """The channels lie here, a folder for each."""
        return self.base / "input" / "data"

    @property
    def failure(self) -> Path:
        """Its first 1,024 characters become the job's FailureReason."""
        return self.base / "output" / "failure"


def folders_of(base: Path, environ: Mapping[str, str]) -> Folders:
    """The places below `base`; SM_MODEL_DIR names another one for the model."""
    return Folders(base, Path(environ.get("SM_MODEL_DIR") or base / "model"), base / "checkpoints")


def read_config(folders: Folders, name: str, variable: str | None) -> dict[str, Any]:
    """A configuration as the environment (`variable`) or else its file gives it; empty where there is none.

    Raises:
        ContractError: it cannot be read or is no JSON object.
    """
    path = folders.config / name
    where = str(path) if variable is None else variable
    try:
        if variable is None:
            if not path.is_file():
                return {}
            if path.stat().st_size > MOST_CONFIG_BYTES:
                raise ContractError(
                    f"{path} has more than {MOST_CONFIG_BYTES >> 20} MiB; SageMaker writes no such file"
                )
            text = path.read_text(encoding="utf-8")
        else:
            text = variable
            where = f"the environment's copy of {name}"
        document = json.loads(text)
    except OSError as error:
        raise ContractError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ContractError(
            f"{where} is no JSON ({error}); SageMaker writes it, so look at how it was replaced"
        ) from error
    if not isinstance(document, dict):
        raise ContractError(f"{where} holds no JSON object")
    return document
