"""One app for each toolkit: ``python -m reactive_auth.examples.<toolkit> [--url URL]``."""
