"""What the token reaches: HTTP clients and streams that reset with the session."""
