"""Who decides: laws, policies, language models and scripts behind one interface."""
