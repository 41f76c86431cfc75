"""`train`: one job from SageMaker's configuration to /opt/ml/model, or to /opt/ml/output/failure.

Exit codes: 0 trained, or stopped in time with a valid model; 1 nothing to deliver, the reason in `failure`; 143
stopped before anything was learnt. SIGTERM is answered within SageMaker's 120 s (`docker stop -t 120`). Nothing is
downloaded. `vedette train` and `vedette pack` do the work, as processes: theirs are the messages.

Of several hosts all train; the first keeps the run and delivers, the others leave nothing and end with 0 as well.
"""

import json
import tempfile
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vedette.contracts.errors import VedetteError
from vedette.learn.sagemaker.container.channels import Channels, find_channels
from vedette.learn.sagemaker.container.checkpoints import RUN_NAME, settle_run
from vedette.learn.sagemaker.container.delivering import (
    BUNDLE,
    EpochLines,
    best_line,
    clear_leftovers,
    copy_run,
    put_bundle,
    take_last_for_best,
    write_failure,
)
from vedette.learn.sagemaker.container.folders import Folders, read_config
from vedette.learn.sagemaker.container.hyperparameters import HyperParameters, flags_of, parse_hyperparameters
from vedette.learn.sagemaker.container.resources import Resources, count_gpus, parse_resources
from vedette.learn.sagemaker.container.several import Group, group_of
from vedette.learn.sagemaker.container.supervising import INTERRUPTED, Ended, Say, Stop, run_child, stop_on_signals
from vedette.learn.sagemaker.errors import ContractError, TrainingFailed

TRAINED, FAILED, STOPPED_EMPTY = 0, 1, 143
TRAINER_S = 70.0  # after a request to stop, of the 120 s there are: for the step or validation at hand
PACKER_S = 110.0
UNPACKING = "vedette.learn.sagemaker.container.unpacking"
JOB_NAME = "TRAINING_JOB_NAME"


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be done, checked."""

    folders: Folders
    parameters: HyperParameters
    channels: Channels
    name: str
    resources: Resources


def run_program(folders: Folders, given: Mapping[str, str], environ: Mapping[str, str], say: Say) -> int:
    """Do a job. `given` are hyper-parameters from the command line; they count before those of the configuration."""
    if not (folders.base / "input").is_dir():
        say(f"vedette: {folders.base} holds no job: there is no folder {folders.base / 'input'}; --base names another")
        return FAILED
    try:
        with stop_on_signals() as stop:
            clear_leftovers(folders)
            job = read_job(folders, given, environ)
            with tempfile.TemporaryDirectory(prefix="vedette-job-") as work:
                group = group_of(job.resources, job.parameters.train.get("device", "auto"), environ, say)
                added = group.environment(environ, TRAINER_S)
                return _Attempt(job, Path(work), stop, say, group, added).do()
    except VedetteError as error:
        say(f"vedette: {error}")
        write_failure(folders, str(error))
        return FAILED
    except BaseException as error:  # whatever it is, SageMaker shows this file and nothing else; it goes on from here
        where = "".join(traceback.format_exception(error)[-2:])
        write_failure(folders, f"unexpected: {error!r}\n{where}")
        raise


def read_job(folders: Folders, given: Mapping[str, str], environ: Mapping[str, str]) -> Job:
    """Read and check the configuration; cheap, and before anything is begun.

    Raises:
        ContractError: the job cannot be done as it was asked for.
    """
    resources = parse_resources(
        read_config(folders, "resourceconfig.json", environ.get("SM_RESOURCE_CONFIG")), count_gpus(environ)
    )
    configured: dict[str, Any] = read_config(folders, "hyperparameters.json", environ.get("SM_HPS"))
    parameters = parse_hyperparameters({**configured, **given})
    inputs = read_config(folders, "inputdataconfig.json", environ.get("SM_INPUT_DATA_CONFIG"))
    channels = find_channels(folders, inputs, environ, len(resources.hosts))
    for name in sorted({*channels.flags} & {*parameters.train}):
        raise ContractError(f"'{name}' is a hyper-parameter and a channel of this job; leave one of them out")
    return Job(folders, parameters, channels, environ.get(JOB_NAME) or "job", resources)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One start of a job: where it works, who may stop it, where its lines go."""

    job: Job
    work: Path  # scratch
    stop: Stop
    say: Say
    group: Group
    added: Mapping[str, str]  # to the environment of training

    @property
    def run(self) -> Path:
        """Where checkpoints are kept it outlives the machine."""
        checkpoints = self.job.folders.checkpoints
        return (checkpoints if checkpoints.is_dir() else self.work) / RUN_NAME

    def do(self) -> int:
        """From data to model, or to the reason why there is none."""
        if self.run.is_relative_to(self.work):
            self.say("the job keeps no checkpoints (no CheckpointConfig): after an interruption it would begin again")
        data = self._unpacked_data()
        if data is None:
            return self._nothing_learnt()
        ended = self._train(data)
        # of several hosts, one that is asked to stop stops all
        stopped = ended.was_stopped and (self.stop.is_asked or (self.group.are_several and ended.code == INTERRUPTED))
        if ended.code != 0 and not stopped:
            raise TrainingFailed(f"training failed: {ended.complaint()}")
        if not self.group.is_first_host:
            self.say(f"done; {self.group.resources.hosts[0]} delivers the model")
            return TRAINED
        if ended.code == 0:
            self.say(best_line(_read_result(ended)))
        return self._deliver(data, stopped or self.stop.is_asked)

    def _train(self, data: Path) -> Ended:
        self.group.wait_for_first_host(self.stop)
        resume = self.group.is_first_host and settle_run(self.run, self.say)
        watch = EpochLines(self.run, self.say) if self.group.is_first_host else _nothing
        return run_child(
            self.group.command(_train_arguments(self.job, data, self.run, resume)),
            self.stop,
            TRAINER_S,
            interrupt=True,
            say=self.say,
            watch=watch,
            environment=self.added,
        )

    def _call(self, arguments: list[str], budget_s: float) -> Ended:
        interrupt = "pack" not in arguments[:2]  # which is quick, and of no use in part
        return run_child(arguments, self.stop, budget_s, interrupt=interrupt, say=self.say, watch=_nothing)

    def _unpacked_data(self) -> Path | None:
        """The labelled pictures as a plain folder; None when a stop was asked for meanwhile."""
        channels, version = self.job.channels, self.job.parameters.data_version
        if not channels.is_pushed:
            if version is not None:
                raise ContractError(
                    f"'data-version' is {version}, but the channel holds no versions: send the prefix that "
                    "`vedette data push` wrote to, or leave 'data-version' out"
                )
            return channels.data
        data = self.work / "data"
        ended = self._call([UNPACKING, str(channels.data), version or "", str(data)], TRAINER_S)
        if self.stop.is_asked and ended.was_stopped:
            return None
        if ended.code != 0:
            raise TrainingFailed(f"the data cannot be used: {ended.complaint()}")
        return data

    def _deliver(self, data: Path, stopped: bool) -> int:
        """The weights first, for the time may end; then the bundle."""
        job, model = self.job, self.job.folders.model
        staged = self.work / "staged" / _file_name(job.name)  # its name stands in the bundle as the run's
        if not self.run.is_dir() or not (copy_run(self.run, staged) or take_last_for_best(staged)):
            return self._nothing_learnt()
        copy_run(staged, model)
        if stopped:
            self.say("stopped: the weights so far are in the model folder")
        bundle = self.work / BUNDLE
        # with the data, the bundle's receipt tells its accuracy; when stopping there is no time to measure it
        packed = self._call(_pack_arguments(job, staged, bundle, None if stopped else data), PACKER_S)
        if packed.was_killed:
            self.say("no time was left to pack a bundle; `vedette pack --run` does it from the weights")
            return TRAINED
        if packed.code != 0:
            raise TrainingFailed(f"the weights were trained, but packing them failed: {packed.complaint()}")
        put_bundle(bundle, model)
        self.say(f"delivered: weights and bundle, in {model}")
        return TRAINED

    def _nothing_learnt(self) -> int:
        reason = "stopped before anything was learnt: there is no model"
        write_failure(self.job.folders, reason)
        self.say(reason)
        return STOPPED_EMPTY


def _train_arguments(job: Job, data: Path, run: Path, resume: bool) -> list[str]:
    channels, asked = job.channels, dict(job.parameters.train)
    arguments = ["vedette", "train", f"--data={data}", f"--out={run}", "--json"]
    arguments += flags_of(channels.flags)
    if channels.cfg is not None:
        asked.pop("model", None)
        if not resume:  # a resumed run has its own
            asked["model"] = str(channels.cfg)
    return [*arguments, *flags_of(asked), *(["--resume"] if resume else [])]


def _pack_arguments(job: Job, staged: Path, bundle: Path, data: Path | None) -> list[str]:
    asked = {"name": job.name, **job.parameters.pack}
    shown = [] if data is None else [f"--data={data}"]
    return ["vedette", "pack", f"--run={staged}", f"--out={bundle}", "--json", *shown, *flags_of(asked)]


def _nothing() -> None:
    """Watch nothing."""


def _read_result(ended: Ended) -> Mapping[str, Any]:
    try:
        result = json.loads(ended.output)
    except ValueError as error:
        raise TrainingFailed(f"`vedette train` printed no result: {ended.output[:200]!r}") from error
    return result if isinstance(result, dict) else {}


def _file_name(name: str) -> str:
    return "".join(sign if sign.isalnum() or sign in "-_" else "-" for sign in name)[:100]
