#!/usr/bin/env bash
# Runs Python with the libraries that the tests compare riftline with: fastavro, and Confluent's client with its Avro
# deserializer.
#
#   scripts/python.sh ARGS…        as python3 ARGS…
#   scripts/python.sh --prepare    only makes the environment
#
# The libraries are pinned with their checksums in requirements.txt (from requirements.in) and live in a virtual
# environment under the user's cache folder. Exit status 75: this machine can't.

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

command -v python3 >/dev/null || unavailable "no Python 3 here"
# The interpreter's own path: the name alone may be a wrapper that chooses by the folder it is called in.
python=$(python3 -c 'import sys; print(sys.executable)')
pin=$( (cat "$scripts/requirements.txt" && "$python" -c 'import sys; print(sys.version, sys.executable)') | sha256sum | cut -c1-12)
home=$cache/python-$pin

prepare() {
  [[ ! -e $home/.complete ]] || return 0
  say "making the Python environment (once)"
  rm -rf "$home"
  "$python" -m venv "$home" >&2 || unavailable "this Python makes no virtual environments (apt-get install python3-venv)"
  "$home/bin/pip" install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r "$scripts/requirements.txt" >&2 ||
    die "the libraries of requirements.txt could not be installed"
  touch "$home/.complete"
}

locked "python-$pin" prepare
[[ ${1:-} != --prepare ]] || exit 0
exec "$home/bin/python" "$@"
