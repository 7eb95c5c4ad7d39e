#!/usr/bin/env bash
# Runs fuzz tests for a while each, as many at a time as there are processors.
#
#   scripts/fuzz.sh [TIME]            every fuzz test of the module, TIME for each, 10s unless given
#   scripts/fuzz.sh --listed [TIME]   those that are part of every build (the list below), 20s unless given
#
# An input that fails is printed, also to the file that RIFTLINE_FAILURES names, and stays in the package's testdata/fuzz,
# where "go test" finds it again.

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# PACKAGE FUZZTEST
listed=(
  'shared/avrofile FuzzWalk'
  'shared/avrofile FuzzContainer'
  'shared/avrofile FuzzProjection'
  'shared/kafka FuzzRecords'
  'shared/connector/timestamp FuzzTimestamps'
  'shared/sourceoffset FuzzDecode'
  'shared/record FuzzParse'
)

# Only what is ours and the JSON reader tell the fuzzer of the ways they take. Told of those of all packages, "go test
# -fuzz" takes each block of gzip for something new and gets to a hundredth of the inputs.
guided=(github.com/riftline/riftline/... github.com/go-json-experiment/json/...)

# compile PACKAGE: makes its test binary.
compile() {
  local flags=() pattern
  for pattern in "${guided[@]}"; do flags+=("-gcflags=$pattern=-d=libfuzzer"); done
  go test -c "${flags[@]}" -o "$work/${1//\//-}.test" "./$1"
}

# one PACKAGE FUZZTEST TIME: fuzzes and says how it went.
one() {
  local package=$1 name=$2 time=$3 log="$work/${1//\//-}.$2.log" new file
  touch "$log.begun"
  if (
    cd "$package"
    "$work/${package//\//-}.test" -test.run '^$' -test.fuzz "^$name\$" -test.fuzztime "$time" -test.parallel 1 \
      -test.fuzzminimizetime 1000x -test.fuzzcachedir "$log.cache"
  ) >"$log" 2>&1; then
    printf 'ok  \t%s.%s\t%s\n' "$package" "$name" "$(grep '^fuzz: elapsed' "$log" | tail -n 1)"
    return
  fi
  new=$(find "$package/testdata/fuzz/$name" -type f -newer "$log.begun" 2>/dev/null || true)
  # At the end of the time the fuzzer may take its own deadline for a failure (golang/go#75804); it has found nothing.
  if [[ -z $new ]] && grep -qx ' *context deadline exceeded' "$log" && ! grep -q 'Failing input\|panic:' "$log"; then
    printf 'ok  \t%s.%s\t%s\n' "$package" "$name" "$(grep '^fuzz: elapsed' "$log" | tail -n 1)"
    return
  fi
  {
    cat "$log"
    for file in $new; do
      printf '%s:\n' "$file"
      cat "$file"
    done
    printf 'FAIL\t%s.%s\n' "$package" "$name"
  } | tee -a "${RIFTLINE_FAILURES:-/dev/null}"
  return 1
}

cd "$scripts/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

case ${1:-} in
--listed)
  time=${2:-20s}
  printf '%s\n' "${listed[@]}" >"$work/tests"
  ;;
-*) usage ;;
*)
  time=${1:-10s}
  grep -r --include='*_test.go' -E '^func Fuzz[A-Za-z0-9]*\(' functions shared scripts |
    sed -E 's,^(.*)/[^/]*_test\.go:func (Fuzz[A-Za-z0-9]*).*,\1 \2,' | sort >"$work/tests"
  ;;
esac

cut -d ' ' -f 1 "$work/tests" | sort -u | while read -r package; do compile "$package"; done
export work
export -f one
# shellcheck disable=SC2016 # expanded by the shell that xargs starts
xargs <"$work/tests" -P "$(getconf _NPROCESSORS_ONLN)" -L 1 bash -c 'set -euo pipefail; one "$1" "$2" "$0"' "$time"
