"""Entry point of the Pulumi program: Pulumi runs this folder with only itself on the import path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from infra.stack import deploy

deploy()
