"""What SageMaker makes of /opt/ml/model and /opt/ml/output/data: model.tar.gz and output.tar.gz below the output path.

Of several hosts everything goes into one archive; of files of the same name, that of the first host counts.
"""

import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vedette.learn.sagemaker.simulator.s3_places import file_blocks, open_folder
from vedette.storage.address import S3Settings

_COMPRESSION = 1  # of gzip: weights hardly shrink, and nobody waits for a rehearsal's


def has_files(folders: Sequence[Path]) -> bool:
    """Whether there is anything to keep."""
    return any(path.is_file() for folder in folders for path in folder.rglob("*"))


def upload_results(
    request: Mapping[str, Any], models: Sequence[Path], outputs: Sequence[Path], scratch: Path, settings: S3Settings
) -> str:
    """Upload the model, and the other output if there is any; the model's address.

    Raises:
        StorageError: S3 does not take them.
    """
    output = request["OutputDataConfig"]
    root = f"{output['S3OutputPath'].rstrip('/')}/{request['TrainingJobName']}/output"
    store = open_folder(settings, root)
    if output.get("CompressionType") == "NONE":
        for name, path in _files(models):
            if path.is_file():
                store.upload(f"model/{name}", file_blocks(path))
        address = f"{root}/model/"
    else:
        store.upload("model.tar.gz", file_blocks(_archive(models, scratch / "model.tar.gz")))
        address = f"{root}/model.tar.gz"
    if has_files(outputs):
        store.upload("output.tar.gz", file_blocks(_archive(outputs, scratch / "output.tar.gz")))
    return address


def _archive(folders: Sequence[Path], place: Path) -> Path:
    with tarfile.open(place, "w:gz", compresslevel=_COMPRESSION) as archive:
        for name, path in _files(folders):
            archive.add(path, name, recursive=False)
    return place


def _files(folders: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """Files and folders by name, at the root of the archive."""
    seen: set[str] = set()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if name not in seen:
                seen.add(name)
                yield name, path
