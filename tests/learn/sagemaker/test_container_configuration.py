"""Channels, hosts and GPUs as SageMaker describes them; what cannot be trained from is refused with its reason."""

from pathlib import Path

import pytest

from opt_ml import S3_CHANNEL, make_job, write_config
from vedette.learn.sagemaker.container.channels import find_channels
from vedette.learn.sagemaker.container.folders import folders_of, read_config
from vedette.learn.sagemaker.container.resources import count_gpus, parse_resources
from vedette.learn.sagemaker.errors import ContractError


def test_a_data_set_weights_and_a_cfg_are_found_in_file_and_fast_file_mode(tmp_path: Path) -> None:
    folders = folders_of(make_job(tmp_path), {})
    (folders.data / "weights").mkdir()
    (folders.data / "weights" / "yolov3-tiny.conv.15").write_bytes(b"0")
    config = {name: {"TrainingInputMode": "FastFile"} for name in ("train", "cfg", "weights")}
    found = find_channels(folders, config, {}, 1)
    assert found.data == tmp_path / "input/data/train"
    assert found.cfg == tmp_path / "input/data/cfg/small.cfg"
    assert found.weights == tmp_path / "input/data/weights/yolov3-tiny.conv.15"


def test_without_inputdataconfig_the_folders_are_the_channels(tmp_path: Path) -> None:
    assert find_channels(folders_of(make_job(tmp_path), {}), {}, {}, 1).cfg is not None


def test_the_toolkits_variables_count_before_the_files(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    make_job(tmp_path / "ml")
    (tmp_path / "ml/input/data/train").rename(elsewhere)
    environ = {"SM_CHANNEL_TRAIN": str(elsewhere), "SM_MODEL_DIR": str(tmp_path / "m"), "SM_NUM_GPUS": "3"}
    folders = folders_of(tmp_path / "ml", environ)
    assert find_channels(folders, {"train": S3_CHANNEL}, environ, 1).data == elsewhere
    assert folders.model == tmp_path / "m"
    assert count_gpus(environ) == 3
    assert read_config(folders, "hyperparameters.json", '{"epochs": 9}') == {"epochs": 9}


@pytest.mark.parametrize(
    ("config", "hosts", "message"),
    [
        ({"train": {**S3_CHANNEL, "TrainingInputMode": "Pipe"}}, 1, "comes in Pipe mode, which gives every byte once"),
        ({"train": {**S3_CHANNEL, "RecordWrapperType": "RecordIO"}}, 1, "wrapped in RecordIO"),
        ({"train": {**S3_CHANNEL, "S3DistributionType": "ShardedByS3Key"}}, 2, "send it FullyReplicated"),
        ({"cfg": S3_CHANNEL}, 1, "no channel with labelled pictures: send one, called 'train'; the job has cfg"),
        ({"train": S3_CHANNEL, "training": S3_CHANNEL}, 1, "more than one channel"),
        ({"train": S3_CHANNEL, "validation": S3_CHANNEL}, 1, "unknown channel 'validation'.*'val' split"),
        ({"data": S3_CHANNEL}, 1, "channel 'data' is not in .*No such file"),
        ({"train": S3_CHANNEL, "weights": S3_CHANNEL}, 1, "channel 'weights' is empty"),
    ],
)
def test_a_channel_that_cannot_be_trained_from_is_refused(tmp_path: Path, config, hosts: int, message: str) -> None:
    folders = folders_of(make_job(tmp_path), {})
    (folders.data / "weights").mkdir()
    with pytest.raises(ContractError, match=message):
        find_channels(folders, config, {}, hosts)


def test_no_channel_and_too_many_files_are_refused(tmp_path: Path) -> None:
    folders = folders_of(tmp_path, {})
    with pytest.raises(ContractError, match="the job has no channel at all"):
        find_channels(folders, {}, {}, 1)
    make_job(tmp_path)
    (folders.data / "cfg" / "other.cfg").write_text("[net]\n")
    with pytest.raises(ContractError, match=r"must hold one file \*\.cfg; it holds other\.cfg, small\.cfg"):
        find_channels(folders, {}, {}, 1)


@pytest.mark.parametrize("text", ["{", "[1]", "\xff\xfe", "[" * 100_000])
def test_a_configuration_that_is_no_json_object_is_named(tmp_path: Path, text: str) -> None:
    write_config(tmp_path, "hyperparameters.json", {})
    (tmp_path / "input/config/hyperparameters.json").write_text(text, encoding="latin-1")
    with pytest.raises(ContractError, match=r"hyperparameters\.json"):
        read_config(folders_of(tmp_path, {}), "hyperparameters.json", None)


def test_hosts_are_ordered_as_people_count() -> None:
    hosts = ["algo-1", "algo-10", "algo-11", "algo-2", "algo-3"]  # SageMaker's own order
    resources = parse_resources({"hosts": hosts, "current_host": "algo-10"}, 0)
    assert resources.hosts == ("algo-1", "algo-2", "algo-3", "algo-10", "algo-11")
    assert resources.rank == 3
    assert parse_resources({}, 0).hosts == ("algo-1",)


@pytest.mark.parametrize(
    "config",
    [
        {"hosts": [], "current_host": "algo-1"},
        {"hosts": "algo-1", "current_host": "algo-1"},
        {"hosts": ["algo-1", "algo-2"], "current_host": "algo-3"},
        {"hosts": ["algo-1", "algo-1"], "current_host": "algo-1"},
        {"hosts": ["algo-1"], "current_host": "algo-1", "network_interface_name": 3},
    ],
)
def test_hosts_that_contradict_themselves_are_refused(config: dict[str, object]) -> None:
    with pytest.raises(ContractError, match=r"resourceconfig\.json"):
        parse_resources(config, 0)
