#!/usr/bin/env bash
# Builds a pinned Go tool once, into the user's cache folder, and prints its path.
#
#   scripts/tools.sh golangci-lint | govulncheck | ko | crane

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

case ${1:-} in
golangci-lint) module=github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0 ;;
govulncheck) module=golang.org/x/vuln/cmd/govulncheck@v1.9.0 ;;
ko) module=github.com/google/ko@v0.19.1 ;;
crane) module=github.com/google/go-containerregistry/cmd/crane@v0.22.1 ;;
-h | --help) usage 0 ;;
*) usage ;;
esac

# Two of them read compiled packages, so a tool belongs to the Go version that built it.
folder=$cache/tools/$(go env GOVERSION)/${module##*@}

build() {
  [[ ! -x $folder/$1 ]] || return 0
  say "building $module (once)"
  mkdir -p "$folder"
  local work
  work=$(mktemp -d "$cache/tools/build.XXXXXX")
  # shellcheck disable=SC2064
  trap "rm -rf '$work'" EXIT
  # Outside of this module, whose versions are not the tool's.
  # What was fetched stays, so a try after a broken connection goes on where it stopped.
  local try
  for try in 1 2 3; do
    (cd "$work" && GOFLAGS='' GOBIN=$work go install "$module" >&2) && break
    ((try < 3)) || die "$module could not be built"
    say "try $try: $module was not built"
    sleep "$try"
  done
  mv "$work/$1" "$folder/$1"
}

mkdir -p "$cache/tools"
locked "tool-$1" build "$1"
echo "$folder/$1"
