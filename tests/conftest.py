"""Settings of the whole suite."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Speed depends on the machine, and is measured by the benchmarks: it fails no test.
settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("default")
