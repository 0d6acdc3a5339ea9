# shellcheck shell=bash
# shellcheck disable=SC2034 # some names are for the scripts that source this
# What the server scripts share: packages, free ports, and processes that are stopped by id. Sourced, never run.
# A server is a process group of its own; its pid file holds "PID STARTTIME", so that a reused pid is never taken for it.

SERVERS_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
STATE_ROOT=${ASYA_TEST_STATE:-$(dirname "$(dirname "$SERVERS_DIR")")/target/test-servers}
CACHE_ROOT=${ASYA_TEST_CACHE:-${HOME:-/root}/.cache/asya-tests}
PROGRAM=$(basename "$0")

say() { printf '%s: %s\n' "$PROGRAM" "$*" >&2; }
die() { say "error: $*"; exit 1; }

# The usage text is the comment at the head of the script.
usage() { sed -n '2,/^$/{s/^# \{0,1\}//;p}' "$0"; }

# One command at a time per state folder; the lock is not inherited by the servers (they close descriptor 9).
lock() {
    mkdir -p "$1"
    exec 9>"$1/lock"
    flock -w 300 9 || die "another $PROGRAM has held $1/lock for 5 minutes"
}

# need_packages PROGRAM PACKAGE...: installs the Debian packages when the program is missing.
need_packages() {
    local program=$1
    shift
    command -v "$program" >/dev/null && return
    install_packages "$@"
    hash -r
    command -v "$program" >/dev/null || die "$program is still missing after installing $*"
}

# install_packages PACKAGE...: by apt-get, as root or by sudo; starts no service.
install_packages() {
    local by_hand="apt-get update && apt-get install --no-install-recommends $*" log=$CACHE_ROOT/apt-$1.log sudo=()
    command -v apt-get >/dev/null || die "needed and there is no apt-get here; install by hand: $*"
    if [ "$(id -u)" != 0 ]; then
        if ! sudo -n true 2>/dev/null; then die "needed packages are missing; run as root: $by_hand"; fi
        sudo=(sudo)
    fi
    say "installing $*"
    mkdir -p "$CACHE_ROOT"
    # Scripts that run in parallel must not meet at dpkg's lock, and a package must not start a service of its own.
    (
        flock 8
        local policy=/usr/sbin/policy-rc.d made=
        if [ ! -e "$policy" ]; then
            printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
            "${sudo[@]}" chmod +x "$policy"
            made=1
        fi
        local apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300) ok=
        local install=("${apt[@]}" install -y --no-install-recommends "$@")
        if "${install[@]}" || { "${apt[@]}" update && "${install[@]}"; }; then ok=1; fi
        [ -z "$made" ] || "${sudo[@]}" rm -f "$policy"
        [ -n "$ok" ]
    ) 8>"$CACHE_ROOT/apt.lock" >"$log" 2>&1 || die "installing failed, see $log; by hand: $by_hand"
}

# once NAME MARKER FUNCTION: runs it unless the marker exists, one at a time per machine user, then makes the marker.
once() {
    [ ! -e "$2" ] || return 0
    mkdir -p "$CACHE_ROOT"
    (
        flock 7
        [ ! -e "$2" ] || exit 0
        "$3"
        touch "$2"
    ) 7>"$CACHE_ROOT/$1.lock"
}

# free_ports COUNT: ports below the ephemeral range, so that no outgoing connection takes one while its server is down, and
# none that was given to another server within five minutes, which may not have opened it yet.
free_ports() {
    mkdir -p "$CACHE_ROOT"
    python3 - "$1" "$CACHE_ROOT/ports" <<'PY'
import fcntl, random, socket, sys, time
count, now = int(sys.argv[1]), int(time.time())
with open(sys.argv[2], "a+") as given:
    fcntl.flock(given, fcntl.LOCK_EX)
    given.seek(0)
    # A line that was cut short is none.
    entries = [words for line in given if len(words := line.split()) == 2 and all(word.isdigit() for word in words)]
    kept = {int(port): int(when) for port, when in entries if now - 300 < int(when) <= now}
    found = []
    while len(found) < count:
        port = random.randint(20000, 32000)
        if port in kept:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        kept[port] = now
        found.append(port)
    given.seek(0)
    given.truncate()
    given.writelines(f"{port} {when}\n" for port, when in kept.items())
print(*found)
PY
}

port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# remember_ports FILE NAME...: sets each NAME from the environment, else from the file, else picks it; writes the file.
# Remembered ports that a stranger has taken since are picked anew. Call it only while the server is down.
remember_ports() {
    local file=$1 name port remembered
    shift
    for name in "$@"; do
        port=${!name:-}
        if [ -n "$port" ]; then
            ! port_open "$port" || die "port $port ($name) is in use by another program"
            continue
        fi
        remembered=$(sed -n "s/^$name=//p" "$file" 2>/dev/null || true)
        if [ -z "$remembered" ] || port_open "$remembered"; then remembered=$(free_ports 1); fi
        printf -v "$name" %s "$remembered"
    done
    for name in "$@"; do printf '%s=%s\n' "$name" "${!name}"; done >"$file"
}

start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

# launch PIDFILE LOG COMMAND...: a background process group that outlives this script and holds none of its descriptors.
launch() {
    local pidfile=$1 log=$2
    shift 2
    # setsid makes the child a group leader without forking, as it is never one in a subshell of a non-interactive shell.
    setsid "$@" </dev/null >>"$log" 2>&1 9>&- 8>&- &
    local pid=$!
    disown "$pid"
    printf '%s %s\n' "$pid" "$(start_time "$pid")" >"$pidfile"
}

# running PIDFILE: true while that very process lives; prints nothing. Sets RUNNING_PID.
running() {
    RUNNING_PID=
    local pid started
    [ -f "$1" ] && read -r pid started <"$1" || return 1
    [ -n "$started" ] && [ "$(start_time "$pid")" = "$started" ] || return 1
    [ "$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | cut -c1)" != Z ] || return 1
    RUNNING_PID=$pid
}

# wait_until SECONDS COMMAND...: asks ten times a second.
wait_until() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.1
    done
}

# Zombies count as gone: in a container nobody may reap them.
group_gone() { ! pgrep -g "$1" -r D,R,S,T,t >/dev/null 2>&1; }
ports_free() { local port; for port in "$@"; do ! port_open "$port" || return 1; done; }

# halt PIDFILE SIGNAL GRACE PORT...: signals the process, then the whole group, and waits until its ports are free.
halt() {
    local pidfile=$1 signal=$2 grace=$3 pid
    shift 3
    [ -f "$pidfile" ] || return 0
    read -r pid _ <"$pidfile"
    if running "$pidfile"; then
        if [ "$signal" = KILL ]; then kill -KILL -- "-$pid" 2>/dev/null || true; else kill "-$signal" "$pid" 2>/dev/null || true; fi
        wait_until "$grace" group_gone "$pid" || { kill -KILL -- "-$pid" 2>/dev/null || true; wait_until 10 group_gone "$pid"; } ||
            die "process group $pid does not end"
    fi
    wait_until 20 ports_free "$@" || die "still listening on one of: $*"
    rm -f "$pidfile"
}
