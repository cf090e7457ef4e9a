"""The console script: whatever ends it, also before a command has begun, is said in one line."""

from __future__ import annotations

import json
import sys
from typing import Any

from neurorobust.support.ends import INTERRUPTED, unforeseen


def main() -> None:
    """Exit 0 fine, 1 a check failed, 2 bad input, 3 our own error, 130 interrupted."""
    try:
        from neurorobust.cli import app  # seconds: torch
        from neurorobust.cli.output import Output

        try:
            app()
        except SystemExit as stop:
            # options that typer refused never reached a command: it said why on stderr
            if stop.code and not Output.begun:
                _object({"error": "wrong usage, see stderr", "exit_code": stop.code})
            raise
    except KeyboardInterrupt:
        _object({"error": "interrupted", "exit_code": INTERRUPTED})
        print("neurorobust: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:  # anything: a library that cannot be imported, an error of ours
        end = unforeseen(error)
        _object(end.fields())
        print(f"neurorobust: {end.message}", file=sys.stderr)
        sys.exit(end.exit_code)


def _object(fields: dict[str, Any]) -> None:
    """With `--json` stdout is one object, however it ends."""
    if "--json" in sys.argv:
        print(json.dumps(fields))


if __name__ == "__main__":
    main()
