import sys
from pathlib import Path

# The scripts are no package: they find each other beside themselves, and so do their tests.
sys.path.insert(0, str(Path(__file__).parents[3] / "tools"))
