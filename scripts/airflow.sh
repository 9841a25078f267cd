#!/usr/bin/env bash
# Airflow in an environment of its own, .airflow-venv.
#
#   scripts/airflow.sh setup   makes it; a repeat with nothing to do is instant
#   scripts/airflow.sh show    starts it for a look, on loopback alone, until Ctrl-C
#   scripts/airflow.sh serve   starts what is installed already, by its settings
#
# The first two need what scripts/setup.sh makes. Written for bash 3.2, which macOS has.
set -euo pipefail

# Paths are those of where this was called; what is started stands elsewhere.
made_absolute() {
    local name
    for name in "$@"; do
        case ${!name:-} in
        "" | /*) ;;
        [~]/*) export "$name=$HOME/${!name#*/}" ;;
        *) export "$name=$PWD/${!name}" ;;
        esac
    done
}
made_absolute HEADRACE_FOLDER HEADRACE_HOME AIRFLOW_HOME
# Without a slash it is one on the path.
case ${HEADRACE_COMMAND:-} in */*) made_absolute HEADRACE_COMMAND ;; esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly VENV=.airflow-venv
# Of the parts that were started; not of a function, for a signal may end the script outside it.
pids=""

say() { printf '%s\n' "airflow: $*" >&2; }
die() { say "$*"; exit 1; }

setup() {
    scripts/environment.sh "$VENV" requirements/airflow.txt
}

# Of this checkout, and of the project that HEADRACE_FOLDER names.
here() {
    local folder=${HEADRACE_FOLDER:-$PWD} command=${HEADRACE_COMMAND:-$PWD/.venv/bin/headrace} runs
    runs=$(cd "$folder" && "$command" run list --json) || die "the runs of $folder can't be told"
    export AIRFLOW_HOME=${AIRFLOW_HOME:-$(told home "$runs")/airflow}
    export AIRFLOW__CORE__DAGS_FOLDER=${AIRFLOW__CORE__DAGS_FOLDER:-$PWD/orchestration/dags}
    # Whatever is set: a look is for this machine alone.
    export AIRFLOW__API__HOST=127.0.0.1
    # Beside what the commands record, where `headrace lineage` finds it.
    local lineage
    lineage=$(told lineage "$runs")
    mkdir -p "$lineage"
    export AIRFLOW__OPENLINEAGE__NAMESPACE=${AIRFLOW__OPENLINEAGE__NAMESPACE:-airflow}
    export AIRFLOW__OPENLINEAGE__TRANSPORT=${AIRFLOW__OPENLINEAGE__TRANSPORT:-"{\"type\": \"file\", \"log_file_path\": \"$lineage/airflow.ndjson\", \"append\": true}"}
    export PATH=$PWD/$VENV/bin:$PATH
}

# A field of a document of runs.
told() {
    printf '%s' "$2" | python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"
}

# Without these Airflow's commands would look into ~/airflow.
show_exports() {
    local name
    say "for airflow in another shell:"
    for name in HEADRACE_FOLDER HEADRACE_COMMAND HEADRACE_HOME AIRFLOW_HOME AIRFLOW__CORE__DAGS_FOLDER; do
        [ -z "${!name:-}" ] || printf 'export %s=%q\n' "$name" "${!name}" >&2
    done
    # shellcheck disable=SC2016 # of that shell
    printf 'export AIRFLOW__CORE__LOAD_EXAMPLES=%q PATH=%q:"$PATH"\n' \
        "${AIRFLOW__CORE__LOAD_EXAMPLES:-False}" "$PWD/$VENV/bin" >&2
}

# Everything but what is set already.
settings() {
    export AIRFLOW__CORE__LOAD_EXAMPLES=${AIRFLOW__CORE__LOAD_EXAMPLES:-False}
    export AIRFLOW__CORE__EXECUTOR=${AIRFLOW__CORE__EXECUTOR:-LocalExecutor}
    export AIRFLOW__CORE__PARALLELISM=${AIRFLOW__CORE__PARALLELISM:-4}
    export AIRFLOW__API__HOST=${AIRFLOW__API__HOST:-127.0.0.1}
    export AIRFLOW__API__PORT=${AIRFLOW__API__PORT:-8080}
    export AIRFLOW__API__WORKERS=${AIRFLOW__API__WORKERS:-1}
    export AIRFLOW__CORE__EXECUTION_API_SERVER_URL=${AIRFLOW__CORE__EXECUTION_API_SERVER_URL:-http://127.0.0.1:$AIRFLOW__API__PORT/execution/}
}

show() {
    setup
    here
    show_exports
    serve
}

serve() {
    settings
    mkdir -p "$AIRFLOW_HOME/logs"
    # Passwords and keys are in it.
    chmod 700 "$AIRFLOW_HOME"
    say "database in $AIRFLOW_HOME"
    airflow db migrate >"$AIRFLOW_HOME/logs/migrate.log" 2>&1 || die "see $AIRFLOW_HOME/logs/migrate.log"
    airflow pools import "$AIRFLOW__CORE__DAGS_FOLDER/pools.json" >"$AIRFLOW_HOME/logs/pools.log" 2>&1 ||
        die "see $AIRFLOW_HOME/logs/pools.log"
    trap 'stop' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    # Each part in a group of its own, so that what it has started can be ended with it. What follows
    # stays in the terminal's, which Ctrl-C is for.
    set -m
    # Airflow's own `standalone` would serve logs to the whole network.
    start api-server
    start scheduler --skip-serve-logs
    start dag-processor
    # Waits for what somebody has to say to a promotion.
    start triggerer --skip-serve-logs
    set +m
    until answers "http://127.0.0.1:$AIRFLOW__API__PORT/api/v2/version"; do
        alive || die "it did not start: see $AIRFLOW_HOME/logs"
        sleep 0.5
    done
    say "http://$AIRFLOW__API__HOST:$AIRFLOW__API__PORT, user admin, password $(password); Ctrl-C ends it"
    while alive; do sleep 1; done
    die "a part of it has ended: see $AIRFLOW_HOME/logs"
}

start() {
    airflow "$@" >"$AIRFLOW_HOME/logs/$1.log" 2>&1 </dev/null &
    pids="$pids $!"
}

alive() {
    local pid
    for pid in $pids; do
        kill -0 "$pid" 2>/dev/null || return 1
    done
}

# Its scheduler may wait for ever for workers that have nothing to do.
stop() {
    local left=100 pid
    trap - EXIT
    # Who is in a hurry would leave parts behind.
    trap '' INT TERM
    # Bash tells of each part that is ended.
    exec 2>/dev/null
    # shellcheck disable=SC2086 # one argument for each
    kill $pids 2>/dev/null || true
    while any_alive && [ $left -gt 0 ]; do
        sleep 0.1
        left=$((left - 1))
    done
    for pid in $pids; do
        kill -KILL -- "-$pid" 2>/dev/null || true
    done
    wait
}

any_alive() {
    local pid
    for pid in $pids; do
        if kill -0 "$pid" 2>/dev/null; then return 0; fi
    done
    return 1
}

answers() {
    python3 -c 'import sys, urllib.request as u; u.urlopen(sys.argv[1])' "$1" 2>/dev/null
}

password() {
    python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["admin"])' \
        "$AIRFLOW_HOME/simple_auth_manager_passwords.json.generated"
}

case ${1:-} in
setup) setup ;;
show) show ;;
serve) serve ;;
*) die "expected setup, show or serve" ;;
esac
