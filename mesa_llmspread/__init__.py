"""How news of offline events spreads among LLM agents, and which simple law describes it.

The public names are loaded when they are first used, so importing the package is instant
and has no side effects.
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
