"""Run the experiment: ``python -m models.armed_conflict``."""

from __future__ import annotations

from models.armed_conflict.run import main

main()
