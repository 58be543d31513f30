"""What all tests share."""

from hypothesis import settings

pytest_plugins = ("tests.cast",)

# A machine that is busy with other tests is no failure.
settings.register_profile("kvmweb", deadline=None)
settings.load_profile("kvmweb")
