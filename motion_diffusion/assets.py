"""Location of the package data: shipped models, text vectors, goal files, mappings and tables."""

from importlib.resources import files
from pathlib import Path

ASSETS = Path(str(files("assets")))
