#!/usr/bin/env bash
# Makes this checkout ready to run: uv, Python, the locked environment in .venv, a JDK with Maven, jars.
#
# Needs git, make and any Python 3.8 or newer. Uses what the machine has, fetches what it lacks, says
# what to run where it may not. Safe to interrupt and to repeat; a repeat with nothing to do is instant.
# Written for bash 3.2, which macOS has.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly STAMP=.venv/.ready
readonly UNFINISHED=.venv/.unfinished
readonly LOCK=.setup.lock
readonly TOOLS=.tools
readonly OPERATOR=streaming/headrace_streaming/headrace-operator.jar

say() { printf '%s\n' "headrace set-up: $*" >&2; }
die() { say "$*"; exit 1; }

main() {
    local wanted
    wanted=$(fingerprint)
    is_ready "$wanted" && return
    take_lock
    is_ready "$wanted" && return
    find_uv
    make_environment
    provide_java
    provide_redis
    say "jars for Spark, Kafka and Flink"
    .venv/bin/python -m headrace_batch.jars >/dev/null
    .venv/bin/python -m headrace_streaming.jars >/dev/null
    compile_operator
    printf '%s\n' "$wanted" >"$STAMP.new"
    mv "$STAMP.new" "$STAMP"
    say "ready; the command is .venv/bin/headrace"
}

# What the environment was made from, and where: an environment doesn't survive a move.
fingerprint() {
    {
        pwd
        cat requirements/*.txt pyproject.toml jgo.lock.toml scripts/setup.sh
        cat streaming/headrace_streaming/archives/*/jgo.lock.toml streaming/operator/pom.xml
        find streaming/operator/src -type f | LC_ALL=C sort | while read -r file; do cat "$file"; done
    } | digest
}

digest() {
    if command -v sha256sum >/dev/null 2>&1; then sha256sum; else shasum -a 256; fi | cut -d ' ' -f 1
}

is_ready() {
    [ -f "$STAMP" ] && [ "$(cat "$STAMP")" = "$1" ] && [ ! -e "$UNFINISHED" ] &&
        [ -x .venv/bin/python ] && [ -x .venv/bin/headrace ] && [ -x .venv/jdk/bin/javac ] && [ -f "$OPERATOR" ]
}

# One set-up at a time. The lock is a link to its owner's process id: made and named in one step.
take_lock() {
    local owner said=""
    while ! ln -s $$ "$LOCK" 2>/dev/null; do
        owner=$(readlink "$LOCK" || true)
        if [ -n "$owner" ] && ! kill -0 "$owner" 2>/dev/null; then
            rm -f "$LOCK"
            continue
        fi
        [ -n "$said" ] || say "waiting for another set-up in this folder (process $owner)"
        said=yes
        sleep 1
    done
    trap 'rm -f "$LOCK"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

# ---- uv ----------------------------------------------------------------------------------------

find_uv() {
    local candidate
    for candidate in "$(command -v uv || true)" "$TOOLS/bin/uv"; do
        if [ -n "$candidate" ] && uv_is_recent "$candidate"; then
            UV=$candidate
            return
        fi
    done
    say "uv, the installer, into $TOOLS"
    UV=$TOOLS/bin/uv
    bootstrap_uv || die "uv could not be installed: run '$(advice python3-venv python3-pip py3-pip uv)' and run again"
}

# 0.5 is the first whose locks and build constraints these are.
uv_is_recent() {
    "$1" --version 2>/dev/null | awk '{ split($2, v, "."); exit !(v[1] > 0 || v[2] >= 5) }'
}

bootstrap_uv() {
    local python
    python=$(system_python) || die "no working Python 3.8 or newer found: run '$(advice python3 python3 python3 python3)' and run again"
    uv_by_venv "$python" && return
    uv_by_target "$python" && return
    # Debian and its children split venv and pip off Python.
    install_packages apt-get:python3-venv dnf:python3-pip apk:py3-pip || true
    uv_by_venv "$python" || uv_by_target "$python" || uv_by_venv /usr/bin/python3
}

# A name on PATH may be a version manager's shim that fails for this folder: try each for real.
system_python() {
    local candidate
    for candidate in python3 /usr/bin/python3 python3.12 python3.11 /usr/local/bin/python3 \
        /opt/homebrew/bin/python3; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 8))' >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    return 1
}

uv_by_venv() {
    rm -rf "$TOOLS"
    "$1" -m venv "$TOOLS" >/dev/null 2>&1 &&
        "$TOOLS/bin/python" -m pip install -q --disable-pip-version-check --require-hashes \
            --no-deps -r requirements/bootstrap.txt && "$UV" --version >/dev/null 2>&1
}

uv_by_target() {
    rm -rf "$TOOLS"
    "$1" -m pip --version >/dev/null 2>&1 &&
        "$1" -m pip install -q --disable-pip-version-check --require-hashes --no-deps \
            --target "$TOOLS" -r requirements/bootstrap.txt && "$UV" --version >/dev/null 2>&1
}

# ---- Python and the environment ----------------------------------------------------------------

make_environment() {
    local python quiet=-q
    [ -t 2 ] && quiet=""
    if [ -e "$UNFINISHED" ] || { [ -e .venv ] && ! usable .venv/bin/python; } || moved; then
        say "removing an environment that can't be used"
        rm -rf .venv
    fi
    if [ ! -e .venv ]; then
        python=$(find_python)
        say "environment .venv on $("$python" --version)"
        "$UV" venv -q --python "$python" .venv
    fi
    touch "$UNFINISHED"
    link_mode
    say "locked packages (1.6 GB; the first time takes a minute or two)"
    # shellcheck disable=SC2086 # empty means no option
    "$UV" pip sync $quiet --python .venv/bin/python --require-hashes \
        --build-constraints requirements/build.txt requirements/dev.txt
    "$UV" pip install -q --python .venv/bin/python --no-deps --no-build-isolation -e .
    rm "$UNFINISHED"
}

usable() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1
}

# The scripts of an environment name its absolute path.
moved() {
    [ -f .venv/bin/activate ] && ! grep -qF "$PWD/.venv" .venv/bin/activate
}

find_python() {
    existing_python && return
    say "no Python 3.11 or 3.12 here; trying one that uv manages"
    "$UV" python install -q 3.11 >/dev/null 2>&1 && existing_python && return
    say "that could not be fetched; trying the system's package manager"
    install_packages apt-get:python3.11 apt-get:python3.12 dnf:python3.11 dnf:python3.12 \
        apk:python3 brew:python@3.11 || true
    existing_python || die "no Python 3.11 or 3.12 could be had: install one, so that it is on the PATH, and run again"
}

existing_python() {
    local version
    for version in 3.11 3.12; do
        "$UV" python find --system --no-project --no-python-downloads "$version" 2>/dev/null && return
    done
    return 1
}

# uv links from its cache; across file systems it has to copy, and would warn about it each time.
link_mode() {
    local cache
    cache=$("$UV" cache dir)
    mkdir -p "$cache"
    if [ -z "${UV_LINK_MODE:-}" ] && [ "$(file_system "$cache")" != "$(file_system .)" ]; then
        export UV_LINK_MODE=copy
    fi
}

file_system() { df -P "$1" | awk 'NR == 2 { print $1 }'; }

# ---- Java --------------------------------------------------------------------------------------

# .venv/jdk leads to the JDK, so that it is used however Headrace is started.
provide_java() {
    local home
    if ! home=$(find_jdk) || ! command -v mvn >/dev/null 2>&1; then
        say "a JDK and Maven from the system's package manager"
        if [ -z "$home" ]; then
            install_packages apt-get:openjdk-17-jdk-headless apt-get:openjdk-21-jdk-headless \
                dnf:java-17-openjdk-devel dnf:java-21-openjdk-devel apk:openjdk17 brew:openjdk@17 || true
        fi
        command -v mvn >/dev/null 2>&1 ||
            install_packages apt-get:maven dnf:maven apk:maven brew:maven || true
        home=$(find_jdk) || die "no JDK 17 or 21 found: run '$(java_advice)', or set JAVA_HOME, and run again"
        command -v mvn >/dev/null 2>&1 || die "no Maven found: run '$(java_advice)' and run again"
    fi
    say "Java from $home"
    ln -sfn "$home" .venv/jdk
}

find_jdk() {
    local home
    for home in "${JAVA_HOME:-}" "$(home_of_java_on_path)" /usr/lib/jvm/*17* /usr/lib/jvm/*21* \
        /opt/homebrew/opt/openjdk@17/libexec/openjdk.jdk/Contents/Home \
        /usr/local/opt/openjdk@17/libexec/openjdk.jdk/Contents/Home \
        /Library/Java/JavaVirtualMachines/*/Contents/Home; do
        if is_jdk "$home"; then
            (cd "$home" && pwd -P)
            return
        fi
    done
    return 1
}

home_of_java_on_path() {
    java -XshowSettings:properties -version 2>&1 | awk '$1 == "java.home" { print $3 }' || true
}

is_jdk() {
    [ -n "$1" ] && [ -x "$1/bin/javac" ] && "$1/bin/javac" -version 2>&1 | grep -Eq '^javac (17|21)([.]|$)'
}

java_advice() {
    advice "openjdk-17-jdk-headless maven" "java-17-openjdk-devel maven" "openjdk17 maven" \
        "openjdk@17 maven"
}

# The stream's one Java part. Its tests run with the others: make operator.
compile_operator() {
    say "the feature operator"
    JAVA_HOME=$PWD/.venv/jdk quietly mvn -q -B -f streaming/operator/pom.xml package -DskipTests ||
        die "the feature operator can't be compiled; see: mvn -f streaming/operator/pom.xml package"
    cp streaming/operator/target/headrace-operator.jar streaming/headrace_streaming/operator.jar.new
    mv streaming/headrace_streaming/operator.jar.new $OPERATOR
}

# ---- Redis -------------------------------------------------------------------------------------

# For projects with [online] type = "redis", and for tests; all else works without.
provide_redis() {
    has_redis && return
    say "Redis from the system's package manager"
    if install_packages apt-get:redis-server dnf:valkey dnf:redis apk:redis brew:redis && has_redis; then
        # Debian's package starts one of its own, now and at every boot; ours are started when needed.
        if command -v apt-get >/dev/null 2>&1 && [ -d /run/systemd/system ]; then
            quietly as_root systemctl disable --now redis-server || true
        fi
    else
        say "no Redis could be had; the online store works in SQLite. To have it: '$(advice redis-server valkey redis redis)'"
    fi
}

has_redis() { command -v redis-server >/dev/null 2>&1 || command -v valkey-server >/dev/null 2>&1; }

# ---- the system's package manager --------------------------------------------------------------

# Installs the first of the given MANAGER:PACKAGE that this machine's manager can and may install.
install_packages() {
    local entry manager package
    for entry in "$@"; do
        manager=${entry%%:*}
        package=${entry#*:}
        command -v "$manager" >/dev/null 2>&1 || continue
        [ "$manager" = brew ] || may_install || return 1
        install_one "$manager" "$package" && return
    done
    return 1
}

install_one() {
    case $1 in
    apt-get)
        apt_lists && apt-cache show "$2" >/dev/null 2>&1 &&
            quietly as_root env DEBIAN_FRONTEND=noninteractive \
                apt-get install -y -q --no-install-recommends "$2"
        ;;
    dnf) quietly as_root dnf install -y -q "$2" ;;
    apk) quietly as_root apk add "$2" ;;
    brew) quietly brew install -q "$2" ;;
    esac
}

# The command that installs what apt-get, dnf, apk or brew know by these names, whichever is here.
advice() {
    if command -v apt-get >/dev/null 2>&1; then echo "sudo apt-get install $1"
    elif command -v dnf >/dev/null 2>&1; then echo "sudo dnf install $2"
    elif command -v apk >/dev/null 2>&1; then echo "sudo apk add $3"
    elif command -v brew >/dev/null 2>&1; then echo "brew install $4"
    else echo "the package manager, to install $1"; fi
}

# Once a run, and only where it is allowed.
apt_lists() {
    [ -n "${APT_LISTS:-}" ] || quietly as_root apt-get update -q || return 1
    APT_LISTS=fresh
}

may_install() { [ "$(id -u)" = 0 ] || sudo -n true >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# Shows a command's output only when it fails.
quietly() {
    local output
    output=$("$@" </dev/null 2>&1) || { printf '%s\n' "$output" | tail -n 5 >&2; return 1; }
}

main
