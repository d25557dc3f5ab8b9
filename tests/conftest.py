"""What every test runs under."""

from hypothesis import settings

# The same examples every time, so that a red run is red again; and no deadline, because a busy
# machine says nothing about the code.
settings.register_profile("ratoon", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("ratoon")
