"""The recorder and what is drawn and told from it."""
