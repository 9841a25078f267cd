"""`headrace` as a script for `spark-submit`: every command, on the session that this makes."""

from __future__ import annotations

from headrace_orchestration.cli import main

if __name__ == "__main__":
    main()
