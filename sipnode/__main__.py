"""``python -m sipnode``: the console script where it isn't on the path."""

import sys

from sipnode.cli import main

sys.exit(main())
