"""Training jobs as SageMaker describes them, and what they leave: for tests with a scripted service."""

import io
import tarfile
from pathlib import Path
from typing import Any

from simulators.s3_servers import BUCKET

RUN = {"best.weights": b"w" * 5000, "model.cfg": b"[net]\n", "names.txt": b"dog\n", "bundle/bundle.json": b"{}"}
DESCRIBED: dict[str, Any] = {
    "TrainingJobName": "one",
    "TrainingJobArn": "arn:aws:sagemaker:us-east-1:123456789012:training-job/one",
    "TrainingJobStatus": "InProgress",
    "SecondaryStatus": "Training",
    "CreationTime": 1795375800,
    "ResourceConfig": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 50},
    "EnableManagedSpotTraining": True,
    "SecondaryStatusTransitions": [
        {"Status": "Starting", "StartTime": 1795375800, "EndTime": 1795375900, "StatusMessage": "Preparing"},
        {"Status": "Training", "StartTime": 1795375900},
    ],
}
COMPLETED = {
    **DESCRIBED,
    "TrainingJobStatus": "Completed",
    "SecondaryStatus": "Completed",
    "TrainingTimeInSeconds": 7200,
    "BillableTimeInSeconds": 1800,
    "ModelArtifacts": {"S3ModelArtifacts": f"s3://{BUCKET}/jobs/one/output/model.tar.gz"},
    "FinalMetricDataList": [{"MetricName": "best:map50", "Value": 0.75, "Timestamp": 1795375900}],
}


def archive(contents: dict[str, bytes]) -> bytes:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w:gz") as tar:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return memory.getvalue()


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
