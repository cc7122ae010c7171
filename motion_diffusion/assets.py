"""Shipped models, text vectors, goal files, mappings and tables: the package data of `assets`."""

from importlib.resources import files
from pathlib import Path

ASSETS = Path(str(files("assets")))
