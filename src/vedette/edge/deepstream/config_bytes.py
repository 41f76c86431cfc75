"""The bytes of a configuration, or of a list of sources that one names: read once, bounded."""

from pathlib import Path

from vedette.edge.deepstream.errors import DeepStreamError

MOST_BYTES = 4 << 20  # a thousand sources with ten keys each are about 0.4 MB


def read_config_bytes(path: Path) -> bytes:
    """The whole file.

    Raises:
        DeepStreamError: it cannot be read, or is too large for a configuration.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise DeepStreamError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > MOST_BYTES:
        raise DeepStreamError(f"{path}: is larger than {MOST_BYTES} bytes; that is no configuration")
    return content
