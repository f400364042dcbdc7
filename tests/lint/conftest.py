"""casebook is imported by name, here and by the cluster tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
