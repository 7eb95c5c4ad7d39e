#!/usr/bin/env bash
# Runs every fuzz test of the module for a while, one after the other.
#
#   scripts/fuzz.sh [TIME]    TIME for each, 10s unless given

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cd "$scripts/.."
for package in $(go list ./functions/... ./shared/... ./scripts/...); do
  for name in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
    go test -run '^$' -fuzz "^$name\$" -fuzztime "${1:-10s}" "$package"
  done
done
