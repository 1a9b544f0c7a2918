"""`python -m offline.sweep`."""

import sys

from offline.sweep.command import main

sys.exit(main())
