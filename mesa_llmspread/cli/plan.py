"""The command ``llmspread plan``: how many runs an experiment needs."""

from __future__ import annotations

import contextlib
from typing import Annotated

import typer
from typer import Argument, Option

from mesa_llmspread.cli.shared import given, refuse

__all__ = ["plan"]


def plan(
    effect: Annotated[
        str,
        Argument(
            help="What is to be found: a hazard ratio per standard deviation of a trait, such as "
            "1.1, or a law with its rates, such as 'FirstRepeat(0.06, 0.04)'."
        ),
    ],
    law: Annotated[
        str | None, Option(help="What agents decide by, for a ratio (default: SI(0.05)).")
    ] = None,
    against: Annotated[
        str | None, Option(help="The simpler law, where EFFECT is a law (default: SI).")
    ] = None,
    runs: Annotated[
        int | None, Option(min=1, help="Describe this number of runs, not only those needed.")
    ] = None,
    power: Annotated[float, Option(help="Probability of finding the effect.")] = 0.8,
    alpha: Annotated[float, Option(help="Size of a trait's test.")] = 0.05,
    n: Annotated[int, Option(help="Agents per run.")] = 200,
    k: Annotated[int, Option(help="Neighbours per agent.")] = 8,
    initial_infected: Annotated[int, Option(help="Starting agents.")] = 10,
    feed: Annotated[str, Option(help="persistent, or new: posts are seen once.")] = "persistent",
    steps: Annotated[int, Option(min=1, help="Largest number of steps of a run.")] = 50,
    rng: Annotated[int, Option(help="Seed of the simulated runs.")] = 0,
) -> None:
    """Count the runs that an experiment needs, before anything is spent.

    The answer rests on simulated runs of the design, and says how sure it is. No
    language model is called.
    """
    settings = given(**locals())
    from mesa_llmspread.experiments.plan import plan as planned

    wanted, shown = settings.pop("effect"), settings.pop("runs", None)
    with contextlib.suppress(ValueError):
        wanted = float(wanted)
    idle, kind = ({"law": law}, "law") if wanted == effect else ({"against": against}, "ratio")
    refuse(idle, f"be left out where EFFECT is a {kind}, as {effect!r} is")
    typer.echo(planned(wanted, **settings).summary(shown))
