"""The Convex bridge: the real client against a small server of the sync protocol."""
