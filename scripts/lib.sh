# Shared by the scripts of this folder; sourced, not run.
# shellcheck shell=bash
# What is not used here is used by the scripts that source it.
# shellcheck disable=SC2034

set -euo pipefail

scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# Everything that is downloaded is kept here, each download under the version and the checksum that are pinned.
cache=${RIFTLINE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/riftline}

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

die() {
  say "$@"
  exit 1
}

# Exit status 75 says that this machine lacks something, as opposed to a failure: tests skip then.
unavailable() {
  say "$@"
  exit 75
}

usage() {
  sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
  exit "${1:-2}"
}

# locked NAME COMMAND...: runs COMMAND while no other process runs one under the same NAME.
locked() {
  local name=$1
  shift
  mkdir -p "$cache"
  if command -v flock >/dev/null; then
    (
      flock 9
      "$@"
    ) 9>"$cache/$name.lock"
  else
    "$@"
  fi
}

# free_port prints a TCP port that nothing listens on just now. It is below those that systems give out by themselves, and
# below those that the end-to-end tests give to processes, so that nobody gets it while a server is down that comes back
# to it.
free_port() {
  python3 - <<'PYTHON'
import random, socket
for port in random.sample(range(10240, 22528), 200):
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            continue
    print(port)
    break
else:
    raise SystemExit("no free port")
PYTHON
}

# answers PORT: somebody accepts connections there.
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

alive() { [[ -n ${1:-} ]] && kill -0 "$1" 2>/dev/null; }

# wait_for SECONDS PID COMMAND...: until COMMAND succeeds; fails when PID has ended or time is up.
wait_for() {
  local end=$((SECONDS + $1)) pid=$2
  shift 2
  until "$@"; do
    alive "$pid" || return 1
    ((SECONDS < end)) || return 1
    sleep 0.1
  done
}

# stop_pid FILE [SECONDS]: ends the process named in FILE and waits for it.
stop_pid() {
  local file=$1 end=$((SECONDS + ${2:-20})) pid
  [[ -s $file ]] || return 0
  pid=$(<"$file")
  if alive "$pid"; then
    kill "$pid" 2>/dev/null || true
    while alive "$pid"; do
      if ((SECONDS >= end)); then
        kill -9 "$pid" 2>/dev/null || true
      fi
      sleep 0.1
    done
  fi
  rm -f "$file"
}

# serve NAME LOG SECONDS READY COMMAND...: runs a server in the foreground until it ends, until this script gets a
# signal, or, with RIFTLINE_UNTIL_EOF=1, until standard input ends (so it cannot outlive whoever holds the other end).
# READY is a function that succeeds once the server is usable; "ready" is printed then.
serve() {
  local name=$1 log=$2 seconds=$3 ready=$4 pid watcher=
  shift 4
  exec 3<&0
  "$@" >>"$log" 2>&1 </dev/null 3<&- &
  pid=$!
  # shellcheck disable=SC2064
  trap "kill $pid 2>/dev/null || true" TERM INT HUP
  if [[ ${RIFTLINE_UNTIL_EOF:-} == 1 ]]; then
    {
      cat <&3 >/dev/null || true
      kill -9 "$pid" 2>/dev/null || true
    } >/dev/null 2>&1 &
    watcher=$!
  fi
  if ! wait_for "$seconds" "$pid" "$ready"; then
    say "$name did not start; the end of its log $log:"
    tail -n 40 "$log" >&2 || true
    kill -9 "$pid" 2>/dev/null || true
    [[ -z $watcher ]] || kill "$watcher" 2>/dev/null || true
    return 1
  fi
  echo ready
  local status=0
  wait "$pid" || status=$?
  while alive "$pid"; do
    wait "$pid" || status=$?
  done
  [[ -z $watcher ]] || kill "$watcher" 2>/dev/null || true
  return "$status"
}

# background DIR COMMAND...: runs COMMAND (a script's own "run") detached from the terminal, waits for its "ready" and
# leaves its process id in DIR/script.pid.
background() {
  local dir=$1 out=$1/start.out pid
  shift
  : >"$out"
  if command -v setsid >/dev/null; then
    RIFTLINE_UNTIL_EOF='' setsid "$@" >"$out" 2>&1 </dev/null &
  else
    RIFTLINE_UNTIL_EOF='' nohup "$@" >"$out" 2>&1 </dev/null &
  fi
  pid=$!
  echo "$pid" >"$dir/script.pid"
  if ! wait_for 300 "$pid" grep -qx ready "$out"; then
    cat "$out" >&2
    stop_pid "$dir/script.pid"
    return 1
  fi
}

# address prints the first address of DIR/env.
address() { sed -n '1s/^[A-Z_]*=//p' "$dir/env"; }

running() { [[ -s $dir/script.pid ]] && alive "$(<"$dir/script.pid")"; }

# manage COMMAND ARGS...: start, stop, status and run of a server's script. The script has set dir and defines
# options (reads its own arguments), download (what may take long, before the wait for "ready") and run.
manage() {
  local command=${1:-}
  [[ -z $command ]] || shift
  case $command in
  start | stop | status | run)
    options "$@"
    dir=$(mkdir -p "$dir" && cd "$dir" && pwd)
    ;;
  -h | --help) usage 0 ;;
  *) usage ;;
  esac
  case $command in
  start)
    ! running || die "it is running already: $(address), in $dir"
    download >/dev/null
    background "$dir" "$0" run "$@"
    say "running: $(address) (see $dir/env)"
    ;;
  stop) stop_pid "$dir/script.pid" ;;
  status)
    if ! running; then
      echo stopped
      exit 1
    fi
    echo "running: $(address)"
    ;;
  run) run ;;
  esac
}
