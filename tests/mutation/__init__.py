"""Mutation testing of the heart; see README.md here."""
