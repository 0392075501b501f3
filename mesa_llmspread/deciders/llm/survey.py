"""Asking a model something else than to decide, under the same limits and into the same store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pydantic import BaseModel

from mesa_llmspread.deciders.llm import loop
from mesa_llmspread.deciders.llm.asking import Place
from mesa_llmspread.deciders.llm.decider import LLMDecider
from mesa_llmspread.deciders.llm.replies import Reply

__all__ = ["survey"]


def survey(
    decider: LLMDecider,
    places: Sequence[Place],
    prompts: Sequence[list[dict[str, str]]],
    form: type[BaseModel],
    schema: str,
    rng: np.random.Generator,
) -> list[Reply]:
    """Ask a decider's model questions of another form.

    Parameters
    ----------
    decider : LLMDecider
        The model, its limits and its store.
    places : sequence of Place
        Where each question belongs; no two the same.
    prompts : sequence of list of dict
        The messages of each question.
    form : type of pydantic.BaseModel
        What the model must answer.
    schema : str
        The form's version.
    rng : numpy.random.Generator
        The same one makes the same questions, which a store answers.

    Returns
    -------
    list of Reply
        In the order of the questions.

    Raises
    ------
    DeciderError
        As for :meth:`LLMDecider.decide`, but for failures, which are replies here.
    """
    decider.check()
    asker = replace(
        decider.asker,
        endpoint=replace(decider.endpoint, form=form, schema=schema, logprobs=False),
    )
    secret = rng.bytes(16)

    async def answer(place: Place, messages: list[dict[str, str]]) -> Reply:
        draw = f"{place.step}:{place.agent}"
        question = asker.question(place, draw, secret, lambda _: messages)
        if (kept := asker.look_up(question)) is not None:
            return kept
        async with decider.slots.free():
            return await asker.ask(question)

    return loop.run(loop.together(map(answer, places, prompts)))
