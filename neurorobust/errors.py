"""Every error this package raises on purpose, and how the command line ends.

    NeuroRobustError
    ├── BadInput              the caller's fault; exit code 2
    │   ├── ModelFileError    a .net file that cannot be read or holds what no backend here runs
    │   ├── CardError         no card, or a card that does not fit its model
    │   ├── DatasetError      missing, unknown or unfitting data
    │   ├── OutputError       a path that cannot be written, or that already holds a result
    │   └── UnavailableError  something optional that is not installed (Lava, tonic)
    │       └── HardwareUnavailable  no Loihi 2 board can be used from here
    ├── CheckFailed           the question was answered, with "no"; exit code 1
    └── BackendError          a backend broke or timed out while running; exit code 3

    0     fine
    1     a check failed, and nothing else: a script may rely on it
    2     bad input (also options that do not exist): nothing was begun
    3     it broke: a backend, too little memory, or an error of neurorobust itself, any exception
          that is not in this tree; then a log file holds the traceback (ends.py)
    130   interrupted by Ctrl-C

Every ending is one line on stderr. With `--json` it is also the one object on stdout,
`{"error": ..., "exit_code": ...}`, beside what was found before a check failed.

Messages are one line and name object, value and limit:
`layer 3 (dense): weight 300 outside [-256, 254]`.
"""


class NeuroRobustError(Exception):
    """Root of the tree."""

    exit_code = 3


class BadInput(NeuroRobustError, ValueError):
    """The caller's input is refused; nothing was written."""

    exit_code = 2


class ModelFileError(BadInput):
    """A NetX file that is damaged, hostile or holds what no backend here computes.

    Attributes:
        rule: code of the rule it breaks (`netx.rules`), "" where no rule of files is broken.
    """

    def __init__(self, message: str, rule: str = "") -> None:
        super().__init__(message)
        self.rule = rule


class CardError(BadInput):
    """The card of a model is missing or contradicts the model."""


class DatasetError(BadInput):
    """The data set is unknown, missing or does not fit the model."""


class OutputError(BadInput):
    """The output path cannot be written or already holds a result."""


class UnavailableError(BadInput):
    """An optional part (Lava, tonic) is not there; the message says how to get it."""


class HardwareUnavailable(UnavailableError):
    """No board; the message names the probe that failed, what is needed, and the environment."""


class CheckFailed(NeuroRobustError):
    """A check (parity, confirmation) ran and failed; the message says where first."""

    exit_code = 1


class BackendError(NeuroRobustError):
    """A backend failed or exceeded its time limit while it ran."""
