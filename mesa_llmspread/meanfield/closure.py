"""What a closure is: equations for the spread that a law leads to.

A closure says how many infected neighbours a susceptible agent has. ``solve`` asks it whether it
has equations for a law (:meth:`Closure.supports`), and for the equations: a one-step map, or
differential equations.
"""

from __future__ import annotations

from typing import Any, Literal

from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError, UnknownNameError
from mesa_llmspread.meanfield.equations import Degrees, Laws, System
from mesa_llmspread.plugins import find_part
from mesa_llmspread.transmission import TransmissionLaw, Visibility

__all__ = ["Closure", "Time", "as_closure", "register_closure"]

Time = Literal["discrete", "continuous"]


class Closure:
    """Equations for the spread that a law leads to.

    A closure of your own has a name and at least one of :meth:`discrete` and
    :meth:`continuous`; :meth:`supports` refuses what it has no equations for.

    Examples
    --------
    >>> class Nobody(Closure):
    ...     name = "nobody"
    ...     def supports(self, law, time, visibility, network):
    ...         return "be 'master'"
    >>> from mesa_llmspread import SI, solve
    >>> solve(SI(0.1), n=100, k=4, initial_infected=1, steps=5, closure=Nobody())
    Traceback (most recent call last):
    ...
    mesa_llmspread.exceptions.UndefinedClosureError: closure='nobody': must be 'master'
    """

    #: What ``solve`` and tables call it.
    name: str = "closure"

    def supports(
        self, law: TransmissionLaw, time: str, visibility: Visibility, network: Degrees
    ) -> str | None:
        """Return why there are no equations.

        By default there are, for every law, where posts stay in view for good or for one step.

        Parameters
        ----------
        law : TransmissionLaw
            The law of one class of agents.
        time : {"discrete", "continuous"}
        visibility : Visibility
            How long posts stay in view, and what they weigh.
        network : Degrees
            The degree distribution.

        Returns
        -------
        None or str
            None if there are; else what to do instead, after "must": "be 'discrete' ...".
        """
        if visibility.feed is None:
            return f"be 'master' for {visibility}: this one has no equations for it"
        return None

    def discrete(
        self,
        laws: Laws,
        network: Degrees,
        infected: float,
        visibility: Visibility,
        media_prob: float | None = None,
        failed_share: float = 0.0,
    ) -> System:
        """Return the one-step map.

        Parameters
        ----------
        laws : sequence of (float, TransmissionLaw)
            Share and law of each class of agents.
        network : Degrees
            The degree distribution.
        infected : float
            Share of agents infected at step 0.
        visibility : Visibility
        media_prob : float, optional
            Probability per step that an agent sees the event itself; if not given, 1 for laws
            with an offline part, else 0. A closure without this argument, or the next, is not
            asked for what they stand for.
        failed_share : float, default 0
            Share of decisions that fail.

        Returns
        -------
        System
        """
        raise NotImplementedError(f"{self.name} has no equations in discrete time")

    def continuous(
        self, laws: Laws, network: Degrees, infected: float, media_prob: float | None = None
    ) -> System:
        """Return the differential equations; posts stay visible.

        Parameters
        ----------
        laws, network, infected, media_prob
            As for :meth:`discrete`.

        Returns
        -------
        System
        """
        raise NotImplementedError(f"{self.name} has no equations in continuous time")

    def warning(self, law: TransmissionLaw) -> str | None:
        """Return why the equations are wrong for a law, not only approximate; None if not."""
        return None


_CLOSURES: dict[str, Closure] = {}

_BUILT_IN = ("master", "pair", "mean_field")


def register_closure(closure: Closure) -> Closure:
    """Register a closure under its name, in this process.

    Parameters
    ----------
    closure : Closure
        Registering a name again replaces it, as in a notebook.

    Returns
    -------
    Closure
        The closure itself.

    Raises
    ------
    ArgumentTypeError
        If it is not a Closure.
    ArgumentError
        If the name is that of a closure of this package.

    Examples
    --------
    >>> class Mine(Closure):
    ...     name = "mine"
    >>> register_closure(Mine()) is as_closure("mine")
    True
    """
    if not isinstance(closure, Closure):
        raise ArgumentTypeError("closure", closure, "a Closure object")
    if closure.name in _BUILT_IN and closure.name in _CLOSURES:
        allowed = "have a name that no closure of the package has"
        raise ArgumentError("closure", closure.name, allowed)
    _CLOSURES[closure.name] = closure
    return closure


def registered_closures() -> dict[str, Closure]:
    """Return the closures of one's own that are registered in this process, by name."""
    return {name: closure for name, closure in _CLOSURES.items() if name not in _BUILT_IN}


def as_closure(closure: Any) -> Closure:
    """Return the closure that a plain value stands for.

    Parameters
    ----------
    closure : Closure or str
        A closure itself, a name, or ``package.module:Object``.

    Returns
    -------
    Closure

    Raises
    ------
    UnknownNameError
        If a name is unknown.
    ArgumentTypeError
        If it is anything else.
    """
    if isinstance(closure, str):
        found = find_part(closure, _CLOSURES, "closure")
        if found is None:
            raise UnknownNameError("closure", closure, _CLOSURES)
        closure = found() if isinstance(found, type) else found
    if not isinstance(closure, Closure):
        raise ArgumentTypeError("closure", closure, "a Closure, or the name of one")
    return closure
