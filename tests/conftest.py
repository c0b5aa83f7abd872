"""What all tests share."""

import signal

# Whoever runs the tests in the background may have Ctrl-C ignored, and so would the processes whose Ctrl-C is tested.
signal.signal(signal.SIGINT, signal.default_int_handler)
