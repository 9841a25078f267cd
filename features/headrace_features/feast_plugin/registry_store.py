"""The registry file of a project, where its settings say; it is replaced as a whole."""

from __future__ import annotations

import os
import tempfile
import uuid
from pathlib import Path
from typing import Any

from feast.infra.registry.file import FileRegistryStore
from feast.repo_config import RegistryConfig
from feast.utils import _utc_now

from headrace_features.feast_plugin.context import settings_for


class ProjectRegistryStore(FileRegistryStore):
    """Feast's registry file, at [feast] registry of the project's settings.

    Feast writes into the file that others read; here a crash leaves the former one.
    """

    def __init__(self, registry_config: RegistryConfig, repo_path: Path) -> None:
        """Find the file: an absolute path as it is, else where the settings say."""
        path = Path(registry_config.path)
        if not path.is_absolute():
            path = settings_for(repo_path).feast.registry
        path.parent.mkdir(parents=True, exist_ok=True)
        located = registry_config.model_copy(update={"path": str(path)})
        super().__init__(located, repo_path)

    def _write_registry(self, registry_proto: Any) -> None:
        registry_proto.version_id = str(uuid.uuid4())
        registry_proto.last_updated.FromDatetime(_utc_now())
        folder = self._filepath.parent
        descriptor, growing = tempfile.mkstemp(prefix=".registry-", dir=folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(registry_proto.SerializeToString())
                file.flush()
                os.fsync(file.fileno())
            Path(growing).replace(self._filepath)
        except BaseException:
            Path(growing).unlink(missing_ok=True)
            raise
