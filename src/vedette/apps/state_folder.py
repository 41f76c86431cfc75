"""Where this program keeps what must survive a restart: $STATE_DIRECTORY (systemd), else $XDG_STATE_HOME/vedette.

Without either it is ~/.local/state/vedette; a relative XDG_STATE_HOME is ignored, as its specification wants.
"""

import os
from collections.abc import Mapping
from pathlib import Path


def state_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder; it need not be there yet."""
    of_service = environment.get("STATE_DIRECTORY", "").partition(":")[0]
    if of_service:
        return Path(of_service)
    given = Path(environment.get("XDG_STATE_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".local" / "state") / "vedette"
