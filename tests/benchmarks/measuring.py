"""What is timed, by which clock, and all of it in turns.

A neighbour, a turbo or a busy host make every number wander. So whatever is compared
is run in the same rounds, in an order that changes, and what counts is the ratio of
two medians out of one run.
"""

from __future__ import annotations

import ctypes
import random
import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Clock = Callable[[], int]

__all__ = [
    "Aim",
    "Measured",
    "Reading",
    "Section",
    "Subject",
    "Table",
    "WrongAnswer",
    "interleave",
    "processor",
]

_WARM_UP = 8


class WrongAnswer(Exception):
    """Say that what was measured is not what should have been."""


class Reading(NamedTuple):
    """Be one measurement.

    Args:
        spent: Microseconds an operation took, by the clock of its subject.
        wall: Microseconds that went by.
        rows: How many rows it read, counted or wrote.
    """

    spent: float
    wall: float
    rows: int


class Subject(Protocol):
    """Be something that can be measured."""

    @property
    def name(self) -> str:
        """Return what it is called in the table."""

    @property
    def rows(self) -> int:
        """Return how many rows it must find."""

    @property
    def note(self) -> str:
        """Return what else is to be said of it."""

    def measure(self) -> Reading:
        """Do it once and say what it took."""


@dataclass
class Measured:
    """Be all readings of one subject."""

    rows: int
    note: str = ""
    readings: list[Reading] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Return the microseconds of an operation in the middle round."""
        return statistics.median(reading.spent for reading in self.readings)

    @property
    def low(self) -> float:
        """Return the microseconds of an operation that a tenth of the rounds beat.

        Not the least of all: on a virtual machine the clock of a processor may stand
        still while the host makes up for time that it took away.
        """
        spent = sorted(reading.spent for reading in self.readings)
        return spent[len(spent) // 10]

    @property
    def wall(self) -> float:
        """Return the microseconds that went by in the middle round."""
        return statistics.median(reading.wall for reading in self.readings)


@dataclass
class Section:
    """Be what is compared with one baseline, which comes first.

    Args:
        title: What is compared.
        measured: What was measured, by what it is called here.
    """

    title: str
    measured: dict[str, Measured]

    @property
    def baseline(self) -> Measured:
        """Return what the others are compared with."""
        return next(iter(self.measured.values()))

    def over(self, name: str) -> float:
        """Return the microseconds that one takes more than the baseline."""
        return self.measured[name].median - self.baseline.median

    def ratio(self, name: str) -> float:
        """Return how many times the baseline one takes."""
        return self.measured[name].median / self.baseline.median


@dataclass(frozen=True)
class Aim:
    """Be what was set out to be reached.

    Args:
        text: What it says.
        value: What was measured.
        limit: What it may be at most.
        unit: Of both.
        asked: Whether it was set for this server and these many rows.
    """

    text: str
    value: float
    limit: float
    unit: str
    asked: bool = True

    @property
    def met(self) -> bool:
        """Say whether it is reached."""
        return self.value <= self.limit


@dataclass
class Table:
    """Be all that one group of measurements found."""

    title: str
    explained: str
    sections: list[Section]
    aims: list[Aim]


def processor(pid: int) -> Clock:
    """Return a clock of the processor time of a process, in nanoseconds.

    Where the system has none for other processes it is the clock on the wall.
    https://pubs.opengroup.org/onlinepubs/9799919799/functions/clock_getcpuclockid.html
    """
    found = getattr(ctypes.CDLL(None), "clock_getcpuclockid", None)
    clock = ctypes.c_int()
    if found is None or found(pid, ctypes.byref(clock)) != 0:
        return time.perf_counter_ns
    number = clock.value
    return lambda: time.clock_gettime_ns(number)


def interleave(
    subjects: Sequence[Subject], rounds: int, seconds: float
) -> dict[str, Measured]:
    """Measure each subject once a round, in an order that changes.

    Args:
        subjects: What is measured.
        rounds: How often.
        seconds: After these no further round begins.

    Raises:
        WrongAnswer: One found another number of rows than it should.
    """
    found = {one.name: Measured(one.rows, one.note) for one in subjects}
    order, chance = list(subjects), random.Random(1)
    ends = time.monotonic() + seconds
    for number in range(-min(rounds, _WARM_UP), rounds):
        chance.shuffle(order)
        for subject in order:
            reading = subject.measure()
            if reading.rows != subject.rows:
                msg = f"{subject.name}: {reading.rows} rows and not {subject.rows}"
                raise WrongAnswer(msg)
            if number >= 0:
                found[subject.name].readings.append(reading)
        if number >= 0 and time.monotonic() > ends:
            break
    return found
