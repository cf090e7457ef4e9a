"""What a command line that cannot be read is told: one line, with what was probably meant."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from neurorobust.cli.help import dress
from neurorobust.cli.output import Output, UsageError
from neurorobust.support.ends import INTERRUPTED
from neurorobust.support.names import near, unknown

WRONG = 2  # as for every bad input


class Commands(TyperGroup):
    """A group of commands whose wrong usage is one line on stderr, and with `--json` an object."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """As typer's, dressed for its help page."""
        found = super().get_command(ctx, cmd_name)
        path = cmd_name if ctx.parent is None else f"{self.name} {cmd_name}"
        return None if found is None else dress(found, path)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As typer's, but an unknown command is answered with the likely ones."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            ctx.fail(unknown("command", name, self.list_commands(ctx)))
        return super().resolve_command(ctx, args)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """As typer's, which draws a box around each error of usage."""
        given = (args, prog_name, complete_var)
        if not standalone_mode:
            return super().main(*given, False, windows_expand_args, **extra)
        try:
            code = super().main(*given, False, windows_expand_args, **extra)
        except typer.Abort:  # Ctrl-C before a command took over
            print("neurorobust: interrupted", file=sys.stderr)
            sys.exit(INTERRUPTED)
        except UsageError as error:
            _say(error, sys.argv[1:] if args is None else args)
            sys.exit(WRONG)
        sys.exit(code if isinstance(code, int) else 0)


def one_of(
    option: str, known: Sequence[str], own: bool = False
) -> Callable[[str | None], str | None]:
    """For `typer.Option(callback=...)`: the value is one of these names.

    Args:
        option: names it in messages.
        known: the names.
        own: `module:factory` will do as well; it is looked for when it is used.
    """

    def check(value: str | None) -> str | None:
        if value is not None and value not in known and not (own and ":" in value):
            raise typer.BadParameter(unknown(option, value, known))
        return value

    return check


def _say(error: Any, typed: Sequence[str]) -> None:
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return
    path = "neurorobust"
    if error.ctx is not None:
        path = " ".join([path, *error.ctx.command_path.split()[_words(error.ctx) :]])
    message = f"{path}: {_words_of(error, path)}"
    print(message, file=sys.stderr)
    if "--json" in typed and not Output.begun:
        Output.begun = True
        print(json.dumps({"error": message, "exit_code": WRONG}))


def _words(ctx: Any) -> int:
    """Of how many words the program's own name is: `neurorobust`, or `python -m neurorobust`."""
    return len(str(ctx.find_root().info_name).split())


def _words_of(error: Any, path: str) -> str:
    if type(error).__name__ == "NoSuchOption":
        option = str(error.option_name)
        known = [name for one in error.ctx.command.params for name in one.opts]
        close = near(option, [name for name in known if name.startswith("-")])
        hint = f"did you mean {' or '.join(close)}?" if close else f"`{path} --help` lists them"
        return f"no such option {option}, {hint}"
    if type(error).__name__ == "BadParameter" and str(error.message).startswith("--"):
        return str(error.message)  # `one_of` named the option
    message = " ".join(str(error.format_message()).split()).rstrip(".")
    return f"{message[:1].lower()}{message[1:]}"
