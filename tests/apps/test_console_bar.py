"""The bar on a terminal: however many stages a training has, the one at hand can be seen."""

import io
import re

from vedette.apps.console import SHOWN_STAGES, ConsoleProgress


class Terminal(io.StringIO):
    """Where a bar is drawn."""

    def isatty(self) -> bool:
        return True


def test_only_the_last_stages_are_shown() -> None:
    terminal = Terminal()
    with ConsoleProgress(terminal) as progress:
        for epoch in range(1, 41):
            progress.start(f"epoch {epoch}/40", 3, "batches")
            progress.advance(3)

    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    last = re.findall(r"epoch ([0-9]+)/40", drawn)[-SHOWN_STAGES:]
    assert last == [str(epoch) for epoch in range(41 - SHOWN_STAGES, 41)]


def test_work_of_another_machine_has_the_rate_that_it_had_there() -> None:
    terminal = Terminal()
    with ConsoleProgress(terminal) as progress:
        progress.start("epoch 1/2", 10, "batches", spent_s=1e9)
        progress.advance(10)

    assert re.search(r"10/10\D.*0\.0 batches/s", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue()))


def test_words_of_others_are_no_markup() -> None:
    terminal = Terminal()
    with ConsoleProgress(terminal) as progress:
        progress.start("[/red] [link=file:///etc]", 3, "files")
        progress.advance(3)
        progress.say("[/red] :warning:")

    assert "[/red] [link=file:///etc]" in terminal.getvalue()
    assert "[/red] :warning:" in terminal.getvalue()
