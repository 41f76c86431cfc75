"""What a simulated camera can be told to do while it runs, whatever it speaks."""

from enum import Enum


class Mood(Enum):
    """`WELL` is a good camera. All but `SILENT` are for whoever connects from then on."""

    WELL = "well"
    SILENT = "silent"  # holds the connection and sends nothing more, also to who is connected
    BLACK_HOLE = "accepts, reads, never answers"
    LOCKED = "401 to every password"
    MISSING = "404 under every path"
    ENDLESS_HEADER = "an answer whose header never ends"
    TRUNCATED = "units cut short, one a second, also to who is connected"
