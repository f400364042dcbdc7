"""python -m rayops."""

import sys

from rayops.cli import main

sys.exit(main())
