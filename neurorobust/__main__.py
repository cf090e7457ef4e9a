"""The console script: Ctrl-C is answered in one line, whenever it comes."""

from __future__ import annotations

import json
import sys

INTERRUPTED = 130  # 128 + SIGINT, the shell's convention


def main() -> None:
    """Exit 0 fine, 1 a check failed, 2 bad input, 130 interrupted."""
    try:
        from neurorobust.cli import app  # seconds: torch
        from neurorobust.cli.output import Output

        try:
            app()
        except SystemExit as stop:
            # options that typer refused never reached a command: it said why on stderr
            if "--json" in sys.argv and stop.code and not Output.begun:
                print(json.dumps({"error": "wrong usage, see stderr", "exit_code": stop.code}))
            raise
    except KeyboardInterrupt:
        print("neurorobust: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
