"""One job from Starting to its end, in a thread of its own: machines come, data, training; results go; machines vanish.

Attempts follow each other while spot machines are taken away, each on fresh machines with the checkpoints from S3. A
stop, an interruption and a time that is over are `docker stop -t GRACE`: SIGTERM, then SIGKILL.
"""

import tempfile
import time
import traceback
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from threading import Event, Lock

from vedette.contracts.errors import VedetteError
from vedette.learn.sagemaker.container.channels import CODE_CHANNEL
from vedette.learn.sagemaker.errors import SimulatorError
from vedette.learn.sagemaker.metrics import read_metrics_line
from vedette.learn.sagemaker.simulator.logs import LogGroup, LogReader, LogStream
from vedette.learn.sagemaker.simulator.machines import PROGRAM, Machine, bring_channels, host_names, lay_out, start
from vedette.learn.sagemaker.simulator.moto_server import HOST, free_port
from vedette.learn.sagemaker.simulator.records import JobRecord, Phase
from vedette.learn.sagemaker.simulator.results import has_files, upload_results
from vedette.learn.sagemaker.simulator.s3_places import remove_tree
from vedette.learn.sagemaker.simulator.scratch import scratch_folder
from vedette.storage.address import S3Settings

LOOK_S = 0.1
_SAID_NOTHING = "(no message in /opt/ml/output/failure)"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all jobs of a simulator share."""

    folder: Path  # for machines
    settings: S3Settings
    region: str
    logs: LogGroup
    command: tuple[str, ...]  # of the image
    grace_s: float  # between SIGTERM and SIGKILL
    checkpoint_every_s: float
    interrupt_after_epoch: int | None  # each spot job loses its machines once, when its log tells of this epoch


class _Ending(Enum):
    """Why an attempt is over."""

    EXITED = "its processes have ended"
    STOPPED = "StopTrainingJob"
    INTERRUPTED = "spot machines taken away"
    TOO_LONG = "MaxRuntimeInSeconds"
    WAITED_TOO_LONG = "MaxWaitTimeInSeconds"
    CLOSED = "the simulator ends"


_LAST_PHASE = {
    _Ending.STOPPED: Phase.STOPPED,
    _Ending.TOO_LONG: Phase.TOO_LONG,
    _Ending.WAITED_TOO_LONG: Phase.WAITED_TOO_LONG,
}


class JobRun:
    """Runs one job. `run` blocks until it has ended; the events may be set from other threads at any time."""

    def __init__(self, record: JobRecord, around: Surroundings) -> None:
        self.record, self._around = record, around
        self.stop, self.interrupt, self.close = Event(), Event(), Event()
        self.ended = Event()
        self._was_interrupted = False
        self._lock = Lock()
        self._stream_s = 0  # the newest streams' number
        self._machines: list[Machine] = []
        self._streams: list[LogStream] = []
        self._temporary = Path()  # a folder for each attempt's machines

    def ask_to_stop(self) -> None:
        """As StopTrainingJob: it is Stopping from now on, whatever its thread is about."""
        with self._lock:
            self.stop.set()
            if not self.record.phase.is_end:
                self.record.enter(Phase.STOPPING, time.time())

    def run(self) -> None:
        """Do the job, whatever becomes of it."""
        try:
            with (
                tempfile.TemporaryDirectory(
                    prefix=f"{self.record.name[:30]}-", dir=self._around.folder, ignore_cleanup_errors=True
                ) as scratch,
                scratch_folder("vedette-") as self._temporary,  # not in there: sockets' names must be short
            ):
                number = 1
                while self._attempt(Path(scratch), number) is _Ending.INTERRUPTED:
                    number += 1
        except VedetteError as error:
            self._enter(Phase.FAILED, f"ClientError: {error}")
        except Exception as error:  # noqa: BLE001 - a job must end, as at SageMaker, and say what has happened
            self._enter(Phase.FAILED, f"InternalServerError: {error!r}\n{traceback.format_exc(limit=-3)}")
        finally:
            self.ended.set()

    def _attempt(self, scratch: Path, number: int) -> _Ending:
        """One set of machines, from launching to vanishing."""
        folder = scratch / str(number)
        folder.mkdir()
        request = self.record.request
        hosts = host_names(request["ResourceConfig"].get("InstanceCount", 1))
        begun_s: float | None = None
        try:
            for phase in (Phase.LAUNCHING, Phase.PREPARING, Phase.DOWNLOADING):
                if (early := self._early_ending()) is not None:
                    return self._finish(early)
                self._enter(phase)
            begun_s = time.monotonic()
            self._machines = [lay_out(folder / host, host, hosts, request, self._around.settings) for host in hosts]
            for machine in self._machines:
                bring_channels(machine, hosts, request, self._around.settings)
                if machine.checkpoints is not None:
                    machine.checkpoints.restore()
            if (early := self._early_ending()) is not None:
                return self._finish(early)
            self._start(number)
            ending = self._watch(begun_s)
            self._shut_down(ending)
            return self._finish(ending, folder, begun_s)
        finally:
            for machine in self._machines:
                machine.kill()
            if begun_s is not None and self.record.phase is Phase.INTERRUPTED:
                self.record.training_s += time.monotonic() - begun_s
            self._machines = []
            remove_tree(folder)
            remove_tree(self._temporary / str(number))  # though programs may have been killed

    def _early_ending(self) -> _Ending | None:
        if self.close.is_set():
            return _Ending.CLOSED
        if self.stop.is_set():
            return _Ending.STOPPED
        wait_s = self.record.request["StoppingCondition"].get("MaxWaitTimeInSeconds")
        if wait_s is not None and time.time() - self.record.created_s > wait_s:
            return _Ending.WAITED_TOO_LONG
        return None

    def _start(self, number: int) -> None:
        """Start the program on every machine."""
        algorithm = self.record.request["AlgorithmSpecification"]
        self._stream_s = max(int(time.time()), self._stream_s + 1)
        self._streams = [
            self._around.logs.open(f"{self.record.name}/{machine.name}-{self._stream_s}") for machine in self._machines
        ]
        if "ContainerEntrypoint" in algorithm:
            self._check_entrypoint(algorithm["ContainerEntrypoint"])
        given = {
            "AWS_REGION": self._around.region,
            "TRAINING_JOB_NAME": self.record.name,
            "TRAINING_JOB_ARN": self.record.arn,
            "MASTER_ADDR": HOST,
            "MASTER_PORT": str(free_port()),
        }
        self._enter(Phase.TRAINING)
        for index, (machine, stream) in enumerate(zip(self._machines, self._streams, strict=True)):
            temporary = self._temporary / str(number) / str(index)
            temporary.mkdir(parents=True)
            own = {**given, "TMPDIR": str(temporary)}
            process = start(machine, self._around.command, self.record.request, own)
            assert process.stdout is not None
            machine.reader = LogReader(process.stdout, stream, self._note_line)

    def _check_entrypoint(self, entrypoint: list[str]) -> None:
        """An entrypoint may only install our wheel and start our program: this computer is no image to be changed."""
        if PROGRAM not in " ".join(entrypoint):
            raise SimulatorError(f"ContainerEntrypoint does not start {PROGRAM}; the simulator runs nothing else")
        for machine in self._machines:
            if not [*(machine.base / "input" / "data" / CODE_CHANNEL).glob("vedette-*.whl")]:
                raise SimulatorError(f"channel '{CODE_CHANNEL}' holds no vedette-*.whl, which the entrypoint installs")
        self._streams[0].say("simulator: the Vedette that is installed here runs in place of the wheel")

    def _note_line(self, line: str) -> None:
        self.record.note_figures(line, time.time())
        epoch = read_metrics_line(line).get("epoch")
        wanted = self._around.interrupt_after_epoch
        if epoch is not None and epoch == wanted and self.record.is_spot and not self._was_interrupted:
            self.interrupt.set()

    def _watch(self, begun_s: float) -> _Ending:
        """Wait until there is a reason to end; meanwhile checkpoints travel to S3."""
        conditions = self.record.request["StoppingCondition"]
        left_s = conditions.get("MaxRuntimeInSeconds", 86400) - self.record.training_s
        sent_s = time.monotonic()
        while True:
            codes = [machine.code() for machine in self._machines]
            if all(code == 0 for code in codes) or any(code not in {0, None} for code in codes):
                return _Ending.EXITED
            if (early := self._early_ending()) is not None:
                return early
            if self.interrupt.is_set():
                return _Ending.INTERRUPTED
            if time.monotonic() - begun_s > left_s:
                return _Ending.TOO_LONG
            if time.monotonic() - sent_s > self._around.checkpoint_every_s:
                self._send_checkpoints(self._machines)
                sent_s = time.monotonic()
            self.close.wait(LOOK_S)

    def _send_checkpoints(self, machines: list[Machine]) -> None:
        for machine, stream in zip(machines, self._streams, strict=True):
            problem = None if machine.checkpoints is None else machine.checkpoints.try_to_send()
            if problem is not None:
                stream.say(f"simulator: {problem}")

    def _shut_down(self, ending: _Ending) -> None:
        """SIGTERM, the time of grace, SIGKILL; then the last checkpoints travel. A failed host takes all along."""
        if ending is _Ending.INTERRUPTED:
            self._was_interrupted = True
            self.interrupt.clear()
        elif ending in _LAST_PHASE:
            self._enter(Phase.STOPPING)
        if ending is not _Ending.CLOSED:
            for machine in self._machines:
                machine.terminate()
            until_s = time.monotonic() + self._around.grace_s
            while any(machine.code() is None for machine in self._machines) and time.monotonic() < until_s:
                if self.close.wait(LOOK_S):
                    break
        codes = [machine.code() for machine in self._machines]
        for machine, stream, code in zip(self._machines, self._streams, codes, strict=True):
            machine.kill()
            if code is None and ending is not _Ending.CLOSED:
                stream.say(f"simulator: killed, for it had not ended {self._around.grace_s:g} s after SIGTERM")
        for machine in self._machines:
            if machine.checkpoints is not None and ending is not _Ending.CLOSED:
                machine.checkpoints.send()

    def _finish(self, ending: _Ending, folder: Path | None = None, begun_s: float | None = None) -> _Ending:
        """Keep what there is to keep, and say how it went."""
        if ending is _Ending.CLOSED:
            self._enter(Phase.FAILED, "InternalServerError: the simulator was closed while the job ran")
            return ending
        if ending is _Ending.INTERRUPTED:
            self._enter(Phase.INTERRUPTED)
            return ending
        failed = next((machine for machine in self._machines if machine.code()), None)
        if ending is _Ending.EXITED and failed is not None:
            self._count(begun_s)
            reason = failed.failure() or _SAID_NOTHING
            self._enter(Phase.FAILED, f"AlgorithmError: {reason[:900]}, exit code: {failed.code()}")
            return ending
        models, outputs = [one.model for one in self._machines], [one.output_data for one in self._machines]
        if folder is not None and (ending is _Ending.EXITED or has_files(models)):
            self._enter(Phase.UPLOADING if ending is _Ending.EXITED else Phase.UPLOADING_STOPPED)
            self.record.artefact = upload_results(self.record.request, models, outputs, folder, self._around.settings)
        self._count(begun_s)
        self._enter(_LAST_PHASE.get(ending, Phase.COMPLETED))
        return ending

    def _count(self, begun_s: float | None) -> None:
        self.record.training_s += 0.0 if begun_s is None else time.monotonic() - begun_s

    def _enter(self, phase: Phase, failure: str | None = None) -> None:
        with self._lock:
            if not (self.stop.is_set() and phase.status == "InProgress"):
                self.record.enter(phase, time.time(), failure)
