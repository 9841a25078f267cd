#!/usr/bin/env bash
# Writes the requirement locks and the jar lock anew; what they pin stays where the ranges allow it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

uv=$(command -v uv || echo .tools/bin/uv)

compile() { # OUTPUT OLDEST_PYTHON INPUT...
    local output=$1 python=$2
    shift 2
    "$uv" pip compile -q --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
        --python-version "$python" --custom-compile-command "make lock" -o "$output" "$@"
}

compile requirements/dev.txt 3.11 pyproject.toml requirements/dev.in --all-extras
compile requirements/build.txt 3.11 requirements/build.in
compile requirements/quix.txt 3.11 requirements/quix.in
compile requirements/trainer.txt 3.11 requirements/trainer.in
compile requirements/airflow.txt 3.11 requirements/airflow.in --override requirements/airflow-overrides.txt
# An image has a part of what is tested, in the same versions.
image() { # ROLE INPUT...
    compile "requirements/$1.txt" 3.11 pyproject.toml "${@:2}" -c requirements/dev.txt
}
image server requirements/kafka.in --extra serving --extra quality
image writer requirements/kafka.in requirements/redis.in
image flink --extra streaming --extra serving --extra quality
image spark requirements/kafka.in --extra batch --extra serving --extra quality
# What tasks of Airflow run: all commands.
image tasks --extra batch --extra serving --extra quality --extra streaming
# uv is installed by whatever Python the machine has: no limits from pyproject.toml here.
UV_NO_CONFIG=1 compile requirements/bootstrap.txt 3.8 requirements/bootstrap.in
archives=streaming/headrace_streaming/archives
jgo=$PWD/.venv/bin/jgo
listener=batch/headrace_batch/archives/lineage
for folder in . $listener $archives/broker $archives/connector; do
    (
        cd "$folder"
        "$jgo" --quiet lock
        # The time of its making would change a lock that is otherwise the same.
        grep -v '^generated = ' jgo.lock.toml >jgo.lock.toml.new
        mv jgo.lock.toml.new jgo.lock.toml
    )
done
if grep -HnE '(https?|file)://' requirements/*.txt jgo.lock.toml $listener/jgo.lock.toml $archives/*/jgo.lock.toml; then
    echo "a lock names a host: unset what makes the installer write it, and run again" >&2
    exit 1
fi
