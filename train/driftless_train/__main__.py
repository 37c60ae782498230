"""`python -m driftless_train`"""

import os
import sys

# Waiting threads sleep instead of spinning: on a shared machine a
# thread kept off its core would else make the other burn its own. Read once, when torch starts OpenMP.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

from .cli import main  # noqa: E402

sys.exit(main())
