"""The `vllm serve` command line."""

import json
from pathlib import Path

import pytest

from components.sizing.serve_args import read_serve_arguments
from components.vllm.arguments import serve_arguments
from tests.components.serving import BIG, HUGE, SMALL

FLAGS = json.loads((Path("components/sizing/data/vllm_flags.json")).read_text())
