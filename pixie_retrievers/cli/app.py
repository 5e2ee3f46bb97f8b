"""The commands put together, and what an error looks like: one line on stderr, exit code 1."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pixie_retrievers import IndexNotFoundError, PixieError, PixieWarning, __version__
from pixie_retrievers.cli.advice import for_command_line
from pixie_retrievers.cli.backup import backup
from pixie_retrievers.cli.check import check
from pixie_retrievers.cli.compact import compact
from pixie_retrievers.cli.compare import compare
from pixie_retrievers.cli.copy import copy
from pixie_retrievers.cli.delete import delete
from pixie_retrievers.cli.demo import demo
from pixie_retrievers.cli.eval import evaluate
from pixie_retrievers.cli.explain import explain
from pixie_retrievers.cli.explore import explore
from pixie_retrievers.cli.export import export
from pixie_retrievers.cli.index import index
from pixie_retrievers.cli.info import info
from pixie_retrievers.cli.mcp import mcp
from pixie_retrievers.cli.repair import repair
from pixie_retrievers.cli.rules import rules
from pixie_retrievers.cli.search import search
from pixie_retrievers.cli.terminal import one_line
from pixie_retrievers.cli.tune import tune
from pixie_retrievers.cli.why_not import why_not

__all__ = ["app"]


class Commands(TyperGroup):
    """Turns what a command may raise into an exit code; a bug still shows its traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("always", PixieWarning)
                warnings.showwarning = _show_warning
                result = super().invoke(ctx)
            sys.stdout.flush()  # a reader that has gone away is noticed here, not while the interpreter shuts down
        except IndexNotFoundError as error:  # its advice is for Python
            found = one_line(error).partition(": check the ")[0]
            typer.echo(f"error: {found}: check the path, or build an index with `pixie index`", err=True)
            raise typer.Exit(1) from None
        except PixieError as error:
            typer.echo(f"error: {for_command_line(one_line(error))}", err=True)
            raise typer.Exit(1) from None
        except KeyboardInterrupt as interrupt:
            typer.echo(": ".join(filter(None, ["interrupted", one_line(interrupt)])), err=True)
            raise typer.Exit(130) from None
        except BrokenPipeError:
            _give_up_stdout()
            raise typer.Exit(141) from None
        except OSError as error:
            _give_up_stdout()
            typer.echo(f"error: {one_line(error)}", err=True)
            raise typer.Exit(1) from None
        return result


def _show_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """A line as an error has one, without the place in our code that Python would show."""
    typer.echo(f"{'warning' if category is PixieWarning else category.__name__}: {one_line(message)}", err=True)


def _give_up_stdout() -> None:
    """What stdout could not take is dropped: the interpreter would try again while it shuts down, and complain."""
    with suppress(OSError, ValueError):  # a stand-in for stdout has no descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Explainable sparse retrieval in Korean: every hit says which tokens made it match.",
)
_COMMANDS: tuple[Callable[..., None], ...] = (
    *(demo, index, search, explain, compare, why_not, rules, tune, explore, mcp),
    *(delete, compact, info, check, copy, export, backup, repair),
)
for command in _COMMANDS:
    app.command(name=command.__name__.replace("_", "-"))(command)
app.command(name="eval")(evaluate)  # a word that Python has taken


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pixie {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    pass
