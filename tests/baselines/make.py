"""Make the reference numbers of the tests, independently of the package.

Run ``python tests/baselines/make.py [FOLDER]``: it writes four tables and the fits into the
folder of this script, or into another one. Nothing here imports ``mesa_llmspread``: the
numbers come from enumeration (``chains.py``), plain loops, SciPy and EoN (``equations.py``),
closed forms, statsmodels and SciPy (``decisions.py``), with laws written out once more in
``plain_laws.py``. It also compares the equations with EoN's. ``tests/test_baselines.py``
compares the package with the files, and the files with a new run of this script.

Change a file only with this script, and only when a definition changes, never to make a test
pass.
"""

from __future__ import annotations

import csv
import json
import sys
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

HERE = Path(__file__).parent
SOURCE = "Made by tests/baselines/make.py, without the package."


def main(folder: Path) -> None:
    """Write all files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of EoN's own code
        import chains
        import decisions
        import equations

        deviations = equations.check_with_eon()
        eon = equations.eon_rows()
    for name, deviation in deviations.items():
        print(f"largest deviation from EoN, {name}: {deviation:.1e}")
        assert deviation < 1e-6, name

    folder.mkdir(parents=True, exist_ok=True)
    write_table(
        folder / "exact.csv",
        "Exact mean and variance of I(t)/n on small graphs, by enumeration of the Markov chain "
        "(chains.py). One agent has posted at the start; agents with odd numbers have the profile "
        "OCEAN, the others ocean; media_prob: probability per step of seeing the event itself; "
        "failed_prob: probability that a decision fails.",
        chains.COLUMNS,
        chains.rows(),
    )
    write_table(
        folder / "equations.csv",
        "I(t)/n from the equations (equations.py): plain loops, and scipy.integrate.solve_ivp "
        "(DOP853, rtol 1e-11). Empty: not defined. In OnlineOffline the event itself is seen in "
        "every step. ByProfile: 1 - exp(-0.05 exp(0.8 z)), z = (c - 15.5) / sd, c = 0 to 31.",
        equations.COLUMNS,
        equations.rows(),
        digits=13,
    )
    write_table(
        folder / "eon.csv",
        "I(t)/n of SI from EoN with recovery rate 0 (equations.py), 1000 agents, 20 starters; "
        "degrees: share of agents per degree.",
        ("closure", "time", "visibility", "degrees", "beta", "t", "value"),
        eon,
        digits=9,
    )
    write_table(
        folder / "decisions.csv",
        "Decisions of six small runs simulated in plain Python with a fixed seed (decisions.py).",
        decisions.COLUMNS,
        decisions.rows(),
    )
    about = (
        f"{SOURCE} Maximum-likelihood fits of decisions.csv: closed forms, statsmodels "
        "(Binomial, cloglog, offset log m), or SciPy on the likelihood (decisions.py). interval: "
        "95 %, profile likelihood; stderr: observed information."
    )
    fits = {"about": about, "high": decisions.HIGH, **rounded(decisions.fits())}
    (folder / "fits.json").write_text(json.dumps(fits, indent=1) + "\n", encoding="utf-8")


def write_table(
    path: Path,
    about: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    digits: int = 12,
) -> None:
    """Write a table with a line that says how it was made."""

    def shown(value: object) -> object:
        return round(float(value), digits) if isinstance(value, float) else value

    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(f"# {SOURCE} {about}\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow([shown(value) for value in row])


def rounded(value: object) -> object:
    """Round all numbers to ten significant digits."""
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(part) for part in value]
    return float(f"{value:.10g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
