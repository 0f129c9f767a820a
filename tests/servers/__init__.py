"""Real Better Auth servers from npm, for the tests that check what is on the wire."""
