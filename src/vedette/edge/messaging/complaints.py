"""What is wrong with one broker: kept for whoever asks, and logged once, not at every attempt to reach it again."""

import logging


class Complaints:
    """One broker's present trouble; called from the threads of its client."""

    def __init__(self, address: str, log: logging.Logger) -> None:
        self.address = address
        self.problem: str | None = None  # None while all is well
        self._log = log

    def complain(self, problem: str) -> None:
        """Say each new problem once."""
        if problem != self.problem:
            self._log.warning("%s: %s", self.address, problem)
        self.problem = problem

    def complain_at_first(self, problem: str) -> None:
        """Say a problem unless there is one already: librdkafka has many words for brokers that are away."""
        if self.problem is None:
            self._log.warning("%s: %s", self.address, problem)
        self.problem = problem

    def recover(self, said: str) -> None:
        """Say that it is over, if there was anything."""
        if self.problem is not None:
            self._log.warning("%s: %s", self.address, said)
            self.problem = None
