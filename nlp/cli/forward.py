"""Commands that hand their arguments on, ``--help`` included, to the ``main(argv)`` of a module.

Such a module parses its own arguments, so that ``python -m MODULE`` and the command are the same, and is imported only when called.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

import typer


@dataclass(frozen=True, slots=True)
class Forwarded:
    """A command that another module implements.

    Parameters
    ----------
    name
        Its name in the group.
    module
        What to import; its ``main(argv)`` takes a list of arguments and returns an exit code.
    help
        One sentence on what it does.
    example
        A line that can be run.
    """

    name: str
    module: str
    help: str
    example: str


def forward(app: typer.Typer, target: Forwarded) -> None:
    """Add a command to `app` that calls ``main`` of `target` and leaves with the code that it returns."""

    def command(context: typer.Context) -> None:
        code: int = import_module(target.module).main(list(context.args))
        if code:
            raise typer.Exit(code)

    app.command(
        target.name,
        help=f"{target.help}\n\nExample: {target.example}",
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )(command)
