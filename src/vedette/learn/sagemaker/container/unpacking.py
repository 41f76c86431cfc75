"""`python -m vedette.learn.sagemaker.container.unpacking CHANNEL VERSION FOLDER`: a pushed version as a plain folder.

VERSION is a tag or digest; empty means what `vedette data push` tags when it is not told otherwise.
A process of its own, so that a stop ends it at any moment; each file is verified by its SHA-256. Speaks and ends as
`vedette` does: messages on standard error; 0, 1 or 130.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from vedette.contracts.errors import VedetteError
from vedette.contracts.ports import SilentProgress
from vedette.learn.data.versions import DEFAULT_TAG, find_version, read_version
from vedette.learn.data.versions_digests import DigestMemory
from vedette.learn.data.versions_pull import pull_version
from vedette.storage.store import open_store

UNPACKED, FAILED, INTERRUPTED = 0, 1, 130


def main(arguments: Sequence[str]) -> int:
    """Unpack one version."""
    channel, reference, folder = arguments
    try:
        store = open_store(channel)
        digest = find_version(store, reference or DEFAULT_TAG)
        version = read_version(store, digest)
        say(f"data version {digest}: {len(version.files)} files, {version.size_bytes / 1e6:.1f} MB")
        pull_version(store, version, Path(folder), SilentProgress(), memory=DigestMemory(None))
    except VedetteError as error:
        say(f"vedette: {error}")
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return UNPACKED


def say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
