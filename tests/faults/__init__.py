"""Every fault, in every phase, on real sockets. ``python -m tests.faults`` prints the outcomes."""
