"""What all tests share."""

import signal

from hypothesis import HealthCheck, settings

# No test asserts a time, not even by hypothesis's defaults: this machine may be busy.
settings.register_profile("muskox", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("muskox")

# Whoever runs the tests in the background may have Ctrl-C ignored, and so would the processes whose Ctrl-C is tested.
signal.signal(signal.SIGINT, signal.default_int_handler)
