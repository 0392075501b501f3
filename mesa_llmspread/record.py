"""A run's record as it travels through Mesa's ``batch_run``: whole, and once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mesa_llmspread.data import SpreadData

if TYPE_CHECKING:
    from mesa_llmspread.model import SpreadModel

__all__ = ["RunRecord"]


class RunRecord:
    """The record of a run, as it stands in every row that Mesa's ``batch_run`` makes of it.

    All rows share one record, which crosses to another process once. It holds the whole
    run, because ``batch_run`` of Mesa 3.3 leaves out what a run's last step collected.

    Parameters
    ----------
    source : SpreadModel or SpreadData
        The model, while it is in this process.
    """

    def __init__(self, source: SpreadModel | SpreadData) -> None:
        self._source = source

    def data(self) -> SpreadData:
        """Return the record so far, as :meth:`SpreadData.from_model` does."""
        source = self._source
        return source if isinstance(source, SpreadData) else SpreadData.from_model(source)

    def __deepcopy__(self, memo: dict[int, Any]) -> RunRecord:
        # The collector copies what it collects, at every step.
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return RunRecord, (self.data(),)
