"""All tests. Whatever else keeps the machine busy, a property is judged by its examples and not by the time they take."""

from hypothesis import HealthCheck, settings

settings.register_profile("sipnode", deadline=None, suppress_health_check=(HealthCheck.too_slow,))
settings.load_profile("sipnode")
