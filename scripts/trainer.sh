#!/usr/bin/env bash
# PyTorch and the official readers of shards in an environment of its own, .trainer-venv.
#
#   scripts/trainer.sh   makes it; a repeat with nothing to do is instant
#
# Needs what scripts/setup.sh makes. Written for bash 3.2, which macOS has.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly VENV=.trainer-venv
readonly STAMP=$VENV/.ready

wanted=$({ pwd; cat requirements/trainer.txt scripts/trainer.sh; } | cksum)
[ -f "$STAMP" ] && [ "$(cat "$STAMP")" = "$wanted" ] && exit
uv=$(command -v uv || echo .tools/bin/uv)
printf '%s\n' "trainer: environment $VENV (6 GB)" >&2
# An environment doesn't survive a move, nor a set-up that was broken off.
rm -rf "$VENV"
"$uv" venv -q --python .venv/bin/python "$VENV"
"$uv" pip sync -q --python "$VENV/bin/python" --require-hashes requirements/trainer.txt
printf '%s\n' "$wanted" >"$STAMP.new"
mv "$STAMP.new" "$STAMP"
