"""What `feast apply` registers: objects generated from the project's definitions."""

from pathlib import Path

from headrace_features.feast_plugin.repository import declared_objects

globals().update(declared_objects(Path(__file__).parent))
