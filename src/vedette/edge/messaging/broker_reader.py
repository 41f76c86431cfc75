"""What readers of messages share, whatever broker they read from: a name, their present trouble, if they listen."""

import logging
import threading

from vedette.edge.messaging.complaints import Complaints


class BrokerReader:
    """Reads from the moment it is made; `listening` is set while nothing that is sent is missed."""

    def __init__(self, address: str, log: logging.Logger) -> None:
        self._complaints = Complaints(address, log)
        self.listening = threading.Event()

    @property
    def name(self) -> str:
        """The broker's address and topic, without credentials."""
        return self._complaints.address

    @property
    def problem(self) -> str | None:
        """Why nothing comes at the moment; None while the broker answers."""
        return self._complaints.problem
