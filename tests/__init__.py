"""All tests. Whatever else keeps the machine busy, a property is judged by its examples and not by the time they take."""

import os
from pathlib import Path

from hypothesis import HealthCheck, settings

settings.register_profile("sipnode", deadline=None, suppress_health_check=(HealthCheck.too_slow,))
settings.load_profile("sipnode")

# Servers and commands that tests start are those of this tree (behind what is compiled of it), whichever the environment has installed.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(Path(__file__).parent.parent))))
