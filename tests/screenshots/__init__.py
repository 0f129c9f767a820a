"""Pictures of the example apps: ``python -m tests.screenshots.<toolkit> FOLDER``."""
