"""mesa-llm: agents that plan by chain of thought, one step of the model.

They are given no tools, which makes the requests short; the package asks twice all the same, for
the plan and for its execution. Its parallel mode is switched on as it is meant to be, by
``parallel_stepping`` on the model. That replaces a method of ``AgentSet``, and since Mesa 3.5
``model.agents`` is of another class, so there the agents go one after the other. ``--gathered``
calls the package's ``step_agents_parallel_sync`` itself, for as many agents at a time as calls may
be made.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

from _peer import report


def prepare(options: argparse.Namespace) -> Callable[[], None]:
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ["OPENAI_API_KEY"] = "not-needed"
    from mesa import Model
    from mesa_llm import step_agents_parallel_sync
    from mesa_llm.llm_agent import LLMAgent
    from mesa_llm.reasoning.cot import CoTReasoning

    class Reader(LLMAgent):
        def step(self) -> None:
            plan = self.reasoning.plan(obs=self.generate_obs(), selected_tools=[])
            self.apply_plan(plan)

        async def astep(self) -> None:
            seen = await self.agenerate_obs()
            plan = await self.reasoning.aplan(obs=seen, selected_tools=[])
            await self.aapply_plan(plan)

    class News(Model):
        parallel_stepping = True

        def __init__(self, n: int) -> None:
            super().__init__()
            for _ in range(n):
                Reader(
                    self,
                    CoTReasoning,
                    llm_model="openai/tiny",
                    system_prompt="You are a curious and outgoing person.",
                    step_prompt="You see: a fire at the station. Do you repost it?",
                    api_base=options.address,
                )

        def step(self) -> None:
            if not options.gathered:
                self.agents.shuffle_do("step")
                return
            agents = list(self.agents)
            for first in range(0, len(agents), options.concurrency):
                step_agents_parallel_sync(agents[first : first + options.concurrency])

    News(1).step()  # what litellm imports at the first call
    return News(options.decisions).step


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--gathered", action="store_true", help="call step_agents_parallel_sync directly"
    )
    report(prepare, parser)
