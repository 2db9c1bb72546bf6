"""The command line: thin commands over the library.

Data goes to stdout (tables, or JSON lines with ``--json``), progress and messages to stderr. Exit codes: 0 done, 1 failure,
2 input that can be mended. Everything heavy is imported inside the commands, so that ``greyzone --help`` answers at once.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Callable
from typing import Annotated

import typer

from greyzone._version import __version__
from greyzone.cli import coordination, exports, journey, look, scores
from greyzone.cli import review as reviewing
from greyzone.cli.doctrine import doctrine_app
from greyzone.cli.evaluate import eval_app
from greyzone.cli.printing import note, say
from greyzone.cli.train import train_app
from greyzone.errors import FULL, GreyzoneError

COMMANDS: dict[str, Callable[..., None]] = {
    "run": journey.run,
    "update": journey.update,
    "demo": journey.demo,
    "collect": journey.collect,
    "embed": journey.embed,
    "narratives": journey.narratives,
    "coordinate": coordination.coordinate,
    "incidents": journey.read_incidents,
    "link": journey.link,
    "impact": scores.impact,
    "campaigns": journey.campaigns,
    "report": journey.report,
    "review": reviewing.review,
    "show": look.show,
    "sql": look.sql,
    "doctor": look.doctor,
    "synth": look.synth,
}
"""Commands that stand alone, in the order of ``--help``; `export`, `doctrine`, `eval` and `train` are groups."""
INTERRUPTED = 130
"""Exit code where someone pressed Ctrl-C, as shells have it."""

app = typer.Typer(
    name="greyzone",
    help="Coordinated narratives in media corpora, their links to cyber incidents, and the cumulative impact of hybrid campaigns.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for name, command in COMMANDS.items():
    app.command(name)(command)
app.add_typer(exports.export_app, name="export")
app.add_typer(doctrine_app, name="doctrine")
app.add_typer(eval_app, name="eval")
app.add_typer(train_app, name="train")


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log what happens to stderr.")] = False,
) -> None:
    if version:
        say(f"greyzone {__version__}")
        raise typer.Exit
    logging.basicConfig(stream=sys.stderr, level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s")


def main() -> None:
    """Run the command line; errors of ours become one line and an exit code."""
    try:
        app()
    except GreyzoneError as error:
        note(f"error: {error}")
        raise SystemExit(error.exit_code) from error
    except MemoryError as error:
        note("error: not enough memory; finished stages are kept: free some, or give fewer documents, and run the same command again")
        raise SystemExit(1) from error
    except BrokenPipeError:
        # The reader of a pipe left (`| head`); devnull keeps the interpreter from complaining once more at exit.
        sys.stdout = open("/dev/null", "w")  # noqa: PTH123, SIM115
        raise SystemExit(0) from None
    except OSError as error:
        # A library that writes a file of its own; what greyzone writes says so itself (StorageError).
        if error.errno not in FULL:
            raise
        places = f"on the disk of the case and of {tempfile.gettempdir()}"
        note(f"error: no space left ({error}); free some {places}, and run the same command again: finished stages are kept")
        raise SystemExit(1) from error
    except (KeyboardInterrupt, SystemExit) as left:
        # Typer turns an interruption into this exit, and says nothing.
        code = left.code if isinstance(left, SystemExit) else INTERRUPTED
        if code == INTERRUPTED:
            note("interrupted; run the same command again to go on from here")
        raise SystemExit(code) from None
