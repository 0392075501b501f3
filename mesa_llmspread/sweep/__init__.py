"""Sweeps: many runs over a design, on all cores or a cluster, each kept on disk when it is done.

>>> from mesa_llmspread.sweep import Design
>>> design = Design({"k": [4, 8], "decider": ["SI(0.05)", "SI(0.1)"]}, replicates=5, rng=1)
>>> len(design.table)
20

``run(design, out="folder")`` does the runs, ``load("folder")`` reads them. Where language
models decide, ``dry_run(design)`` estimates beforehand what that will cost.
"""

from __future__ import annotations

from mesa_llmspread.sweep.design import Design
from mesa_llmspread.sweep.execution import DryRun, dry_run, resume, run
from mesa_llmspread.sweep.fits import fit_cells, sensitivity
from mesa_llmspread.sweep.results import Sweep, load

__all__ = [
    "Design",
    "DryRun",
    "Sweep",
    "dry_run",
    "fit_cells",
    "load",
    "resume",
    "run",
    "sensitivity",
]
