#!/usr/bin/env bash
# Runs checkov, which knows what is unsafe in a Terraform configuration.
#
#   scripts/checkov.sh ARGS…       as checkov ARGS…
#   scripts/checkov.sh --prepare   only makes the environment
#
# It and what it needs are pinned with their checksums in checkov.txt (from checkov.in), apart from the libraries of
# python.sh, with which they share nothing. Exit status 75: this machine can't.

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

command -v python3 >/dev/null || unavailable "no Python 3 here"
# The interpreter's own path: the name alone may be a wrapper that chooses by the folder it is called in.
python=$(python3 -c 'import sys; print(sys.executable)')
pin=$( (cat "$scripts/checkov.txt" && "$python" -c 'import sys; print(sys.version, sys.executable)') | sha256sum | cut -c1-12)
home=$cache/checkov-$pin

prepare() {
  [[ ! -e $home/.complete ]] || return 0
  say "making checkov's environment (once)"
  rm -rf "$home"
  "$python" -m venv "$home" >&2 || unavailable "this Python makes no virtual environments (apt-get install python3-venv)"
  "$home/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$scripts/checkov.txt" >&2 ||
    unavailable "the packages of checkov.txt could not be installed"
  touch "$home/.complete"
}

locked "checkov-$pin" prepare
[[ ${1:-} != --prepare ]] || exit 0
exec "$home/bin/checkov" "$@"
