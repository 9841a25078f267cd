#!/usr/bin/env bash
# An environment of its own with exactly what a lock has; a repeat with nothing to do is instant.
#
#   scripts/environment.sh .trainer-venv requirements/trainer.txt
#
# Needs what scripts/setup.sh makes. Written for bash 3.2, which macOS has.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly VENV=$1 LOCK=$2
readonly STAMP=$VENV/.ready

say() { printf '%s\n' "$VENV: $*" >&2; }

[ -x .venv/bin/python ] || { say "there is no .venv: run 'make setup' first"; exit 1; }
wanted=$({ pwd; cat "$LOCK" scripts/environment.sh; } | cksum)
[ -f "$STAMP" ] && [ "$(cat "$STAMP")" = "$wanted" ] && exit
uv=$(command -v uv || echo .tools/bin/uv)
say "an environment of $LOCK"
# An environment doesn't survive a move, nor a set-up that was broken off.
rm -rf "$VENV"
"$uv" venv -q --python .venv/bin/python "$VENV"
"$uv" pip sync -q --python "$VENV/bin/python" --require-hashes "$LOCK"
printf '%s\n' "$wanted" >"$STAMP.new"
mv "$STAMP.new" "$STAMP"
