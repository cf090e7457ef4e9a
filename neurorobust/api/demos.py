"""The whole story in one call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from neurorobust.assess.demo import demo as run_demo
from neurorobust.evaluation import Progress
from neurorobust.report.result import Result


def demo(
    out: Path | str,
    *,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
    progress: Progress | None = None,
    command: str = "",
) -> Result:
    """Bundled digits: train, export, check parity, attack, compare with float, confirm in Lava.

    Args:
        out: directory of the result: `run/`, `model.net`, `card.json`, record and page.
        seed: of the initial weights, of batches and of attacks.
        resume: go on with what is there.
        overwrite: begin again over what is there.
        say: called with one line as each step ends.
        progress: told (done, total, what).
        command: how it was asked, for the record.

    Raises:
        CheckFailed: the forms of the network differ somewhere, or Lava does not confirm.
        OutputError: `out` holds a result and neither `resume` nor `overwrite` was given.
        UnavailableError: Lava is not installed.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import mkdtemp
        >>> taken = Path(mkdtemp())
        >>> _ = (taken / "model.net").write_text("mine")
        >>> try:
        ...     demo(taken)
        ... except OutputError as error:
        ...     print(str(error).endswith("exists already; --resume or --overwrite"))
        True
    """
    told = progress if progress is not None else lambda done, total, what: None
    record = run_demo(Path(out), seed, resume, overwrite, say, told, command)
    return Result(record, Path(out))
