"""The result of a fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mesa_llmspread._words import counted, described, html_table, p_words
from mesa_llmspread.transmission import TransmissionLaw

__all__ = ["Criteria", "FitResult", "by_name"]


def by_name(names: Sequence[str], *columns: npt.ArrayLike) -> dict[str, Any]:
    """Return estimates, standard errors and ends of intervals as FitResult has them."""
    values, stderr, low, high = (np.asarray(column).tolist() for column in columns)
    return {
        "params": dict(zip(names, values, strict=True)),
        "stderr": dict(zip(names, stderr, strict=True)),
        "ci": dict(zip(names, zip(low, high, strict=True), strict=True)),
    }


class Criteria(NamedTuple):
    """Log-likelihood of a law, its number of parameters, and the criteria from both."""

    n_params: int
    loglik: float
    aic: float
    bic: float

    @classmethod
    def of(cls, n_params: int, loglik: float, n_bic: int) -> Criteria:
        """Return the criteria of a log-likelihood."""
        bic = n_params * float(np.log(n_bic)) - 2 * loglik
        return cls(n_params, loglik, 2 * n_params - 2 * loglik, bic)


@dataclass(frozen=True)
class FitResult:
    """A law fitted to decisions, or to curves.

    Attributes
    ----------
    name : str
        The law's name.
    params : dict of str to float
        Estimates: probabilities per contact (or decision) and step; a share for classes. NaN
        where the data contain no information.
    stderr : dict of str to float
        Standard errors, from the observed information or between runs as the intervals; NaN
        on a bound.
    ci : dict of str to (float, float)
        Intervals of coverage ``level``, by profile likelihood or, where runs differ, between
        runs.
    covar : ndarray of float, shape (p, p)
        Covariance of the estimates, in the order of ``params``; NaN on a bound.
    interval : {"profile", "runs"}
        Which of the two intervals.
    level : float
        Coverage of the intervals.
    loglik, aic, bic : float
        Log-likelihood of the decisions (no binomial coefficients) and the criteria from it;
        ``bic`` counts ``n_bic``. NaN for curves, whose points are not independent.
    n_obs : int
        Exposed decisions: with a posting neighbour or the event itself in view. For curves
        their points.
    n_bic : int
        What ``bic`` counts: agents that decided, for laws with latent classes, else ``n_obs``.
    n_failed : int
        Decisions that failed: counted here, used nowhere.
    n_runs : int
        Number of runs.
    heterogeneity : float
        p-value of the likelihood-ratio test that all runs have the same rates; NaN where it
        was not tested.
    between : ndarray of float, shape (p, p)
        Covariance of the parameters between runs, on the scale of the fit: of the logarithms of
        rates per contact and step, for probabilities. 0 where runs differ by chance alone.
    success : bool
        Whether the maximum was found and the law can produce the decisions.
    nfev : int
        How often the likelihood, or the distance from the curves, was computed.
    message : str
        What a reader of the fit should know, in words.
    law : TransmissionLaw or None
        The law with the estimates, for ``solve`` and ``simulate``.
    likeliest : TransmissionLaw or None
        The law at the maximum of the likelihood; differs from ``law`` where estimates are
        averages over runs.
    method : {"exposures", "curve"}
        What it was fitted to.
    warnings : tuple of str
        Why not to trust the estimates, sentence by sentence; part of ``message``.
    rmse : float
        Of a curve: root mean square distance from the counts, as a share of the agents; NaN
        for decisions.

    Examples
    --------
    >>> from mesa_llmspread import SpreadData, SpreadModel, fit
    >>> model = SpreadModel(n=100, k=4, decider="SI(0.2)", rng=1).run(20)
    >>> result = fit(SpreadData.from_model(model), "SI")
    >>> low, high = result.ci["beta"]
    >>> low < result.params["beta"] < high
    True
    """

    name: str
    params: dict[str, float]
    stderr: dict[str, float]
    ci: dict[str, tuple[float, float]]
    covar: npt.NDArray[np.float64] = field(repr=False)
    interval: str
    level: float
    n_obs: int
    n_failed: int
    n_runs: int
    success: bool
    nfev: int
    message: str
    law: TransmissionLaw | None = field(repr=False)
    likeliest: TransmissionLaw | None = field(default=None, repr=False)
    loglik: float = float("nan")
    aic: float = float("nan")
    bic: float = float("nan")
    n_bic: int = 0
    heterogeneity: float = float("nan")
    between: npt.NDArray[np.float64] | None = field(default=None, repr=False)
    method: str = "exposures"
    warnings: tuple[str, ...] = ()
    rmse: float = float("nan")

    @property
    def criteria(self) -> Criteria:
        """What laws are compared by."""
        return Criteria(len(self.params), self.loglik, self.aic, self.bic)

    def __repr__(self) -> str:
        return f"FitResult({self.name}: {self.describe()}; {self._fitted_to()})"

    def _repr_html_(self) -> str:
        rows = {name: described("", value, *self.ci[name]) for name, value in self.params.items()}
        rows |= {"fitted to": self._fitted_to()}
        return html_table(self.name, rows | ({"note": self.message} if self.message else {}))

    def _fitted_to(self) -> str:
        """Return in short what it was fitted to."""
        runs = counted(self.n_runs, "run")
        if self.method == "curve":
            return f"the curves of {runs}"
        return f"{counted(self.n_obs, 'decision')} in {runs}"

    def describe(self) -> str:
        """Return the estimates on one line: ``beta_first 0.219 [0.196, 0.244], ...``."""
        if len(self.params) > 6:
            known = [value for value in self.params.values() if not np.isnan(value)]
            unknown = len(self.params) - len(known)
            missing = f"{counted(unknown, 'rate')} not estimable"
            if not known:
                return missing
            text = f"{counted(len(known), 'rate')} from {min(known):.3g} to {max(known):.3g}"
            return f"{text}, {missing}" if unknown else text
        return ", ".join(
            described(name, value, *self.ci[name]) for name, value in self.params.items()
        )

    def summary(self) -> str:
        """Return the fit in words and a table.

        Returns
        -------
        str
            Several lines.
        """
        failed = f"; {self.n_failed} failed and were left out" if self.n_failed else ""
        quality = f"log-likelihood {self.loglik:.3f}   AIC {self.aic:.2f}   BIC {self.bic:.2f}"
        if self.method == "curve":
            quality = f"distance from the counts {self.rmse:.4f} of the agents (rms)"
        between = "between runs" if self.interval == "runs" else "profile likelihood"
        head = f"{'parameter':<14}{'estimate':>10}{'std. error':>12}"
        lines = [quality, f"{head}   {self.level:.0%} interval ({between})"]
        for name, value in self.params.items():
            low, high = self.ci[name]
            # None on a bound.
            error = "–" if np.isnan(self.stderr[name]) else f"{self.stderr[name]:.2g}"
            numbers = f"{value:>10.4g}{error:>12}   [{low:.4g}, {high:.4g}]"
            lines.append(f"{name:<14}{'not estimable' if np.isnan(value) else numbers}")
        if np.isfinite(self.heterogeneity):
            lines.append(f"same rates in every run: {p_words(self.heterogeneity)}")
        lines += [self.message] if self.message else []
        return "\n  ".join([f"{self.name} fitted to {self._fitted_to()}{failed}", *lines])
