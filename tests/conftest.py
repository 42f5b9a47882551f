"""What holds for every test."""

from hypothesis import HealthCheck, settings

# The same examples every time: a red test is red again. How fast they are made says something about the machine.
settings.register_profile(
    "modelserver",
    deadline=None,
    max_examples=50,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("modelserver")
