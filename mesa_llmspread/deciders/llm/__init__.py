"""Language models that decide: from the prompt through the call to the store."""
