"""`python -m offline.plan`."""

import sys

from offline.plan.command import main

sys.exit(main())
