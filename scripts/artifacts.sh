#!/usr/bin/env bash
# Fetches a pinned set of Java archives and prints the folder that holds them.
#
#   scripts/artifacts.sh fetch SET              SET as in artifacts.lock, such as kafka-4.1.0
#   scripts/artifacts.sh lock SET COORDINATE..  prints lock lines for the coordinates and all that they need
#
# Maven fetches them, from wherever it is set up to; without Maven, set MAVEN_REPOSITORY to a Maven repository's address.
# Whatever comes is compared with the SHA-256 in artifacts.lock before it is used, and kept under the user's cache
# folder (RIFTLINE_CACHE, else $XDG_CACHE_HOME/riftline, else ~/.cache/riftline). Exit status 75: this machine can't.

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

lock_file=$scripts/artifacts.lock
plugin=org.apache.maven.plugins:maven-dependency-plugin:3.6.1

# pom prints a project that depends on the coordinates (group:artifact:version:type[:classifier]) read from stdin.
pom() {
  echo '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
  echo '<groupId>riftline</groupId><artifactId>peers</artifactId><version>1</version><packaging>pom</packaging><dependencies>'
  local group artifact version type classifier
  while IFS=: read -r group artifact version type classifier; do
    echo "<dependency><groupId>$group</groupId><artifactId>$artifact</artifactId><version>$version</version><type>${type:-jar}</type>"
    [[ -z $classifier ]] || echo "<classifier>$classifier</classifier>"
    echo '</dependency>'
  done
  echo '</dependencies></project>'
}

# stub puts a description without parent and dependencies where Maven looks first: the lock says all that is wanted,
# and some archives name a parent that was never published.
stub() {
  local m2=$1 group artifact version type classifier folder
  while IFS=: read -r group artifact version type classifier; do
    folder=$m2/${group//.//}/$artifact/$version
    mkdir -p "$folder"
    cat >"$folder/$artifact-$version.pom" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>$group</groupId><artifactId>$artifact</artifactId><version>$version</version></project>
POM
  done
}

file_name() {
  local group artifact version type classifier
  IFS=: read -r group artifact version type classifier <<<"$1"
  echo "$artifact-$version${classifier:+-$classifier}.$type"
}

by_maven() {
  local coordinates=$1 work=$2 m2
  m2=$work/m2
  stub "$m2" <"$coordinates"
  pom <"$coordinates" >"$work/pom.xml"
  # Three tries: what was fetched stays in $m2, so a try after a broken connection goes on where it stopped.
  local try
  for try in 1 2 3; do
    if (cd "$work" && mvn -B -q -U "-Dmaven.repo.local=$m2" "$plugin:copy-dependencies" -DexcludeTransitive=true \
      "-DoutputDirectory=$work/lib") >"$work/mvn.log" 2>&1 </dev/null; then
      return 0
    fi
    say "try $try: Maven did not bring everything"
    sleep "$try"
  done
  tail -n 30 "$work/mvn.log" >&2
  return 1
}

by_http() {
  local coordinates=$1 work=$2 line group artifact version type classifier
  mkdir -p "$work/lib"
  while IFS= read -r line; do
    IFS=: read -r group artifact version type classifier <<<"$line"
    curl -fsSL --retry 3 -o "$work/lib/$(file_name "$line")" \
      "${MAVEN_REPOSITORY%/}/${group//.//}/$artifact/$version/$(file_name "$line")" || return 1
  done <"$coordinates"
}

fetch() {
  local set=$1 target=$2 work
  [[ ! -e $target/.complete ]] || return 0
  if ! command -v mvn >/dev/null && [[ -z ${MAVEN_REPOSITORY:-} ]]; then
    unavailable "no Maven here to fetch $set: install it (apt-get install maven), or set MAVEN_REPOSITORY"
  fi
  say "fetching $set (once)"
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/fetch.XXXXXX")
  # shellcheck disable=SC2064
  trap "rm -rf '$work'" EXIT
  awk -v set="$set" '$1 == set { print $3 }' "$lock_file" >"$work/coordinates"
  if command -v mvn >/dev/null; then
    by_maven "$work/coordinates" "$work" || die "$set could not be fetched"
  else
    by_http "$work/coordinates" "$work" || die "$set could not be fetched from MAVEN_REPOSITORY"
  fi
  local sum coordinate
  while read -r _ sum coordinate; do
    echo "$sum  $(file_name "$coordinate")"
  done < <(awk -v set="$set" '$1 == set' "$lock_file") >"$work/sums"
  (cd "$work/lib" && sha256sum -c --quiet --strict "$work/sums" >&2) ||
    die "what was fetched for $set is not what artifacts.lock pins; nothing was kept"
  rm -rf "$target"
  mkdir -p "$(dirname "$target")"
  mv "$work/lib" "$target"
  touch "$target/.complete"
  rm -rf "$work"
  trap - EXIT
}

lock() {
  local set=$1 work
  shift
  work=$(mktemp -d)
  # shellcheck disable=SC2064
  trap "rm -rf '$work'" EXIT
  printf '%s\n' "$@" | pom >"$work/pom.xml"
  (cd "$work" && mvn -B -q "$plugin:copy-dependencies" "$plugin:list" -DincludeScope=runtime -DoutputDirectory="$work/lib" \
    -DoutputFile="$work/list" >&2)
  # A line of the list: group:artifact:type[:classifier]:version:scope.
  sed -n 's/^ *\([^: ]*:[^ ]*\):\(compile\|runtime\).*/\1/p' "$work/list" | sort -u | while IFS=: read -r group artifact type a b; do
    local version=$a classifier=
    [[ -z $b ]] || version=$b classifier=$a
    local coordinate=$group:$artifact:$version:$type${classifier:+:$classifier}
    echo "$set $(sha256sum "$work/lib/$(file_name "$coordinate")" | cut -d' ' -f1) $coordinate"
  done
}

case ${1:-} in
fetch)
  [[ $# == 2 ]] || usage
  grep -q "^$2 " "$lock_file" || die "artifacts.lock has no set $2"
  pin=$(awk -v set="$2" '$1 == set' "$lock_file" | sha256sum | cut -c1-12)
  locked "$2" fetch "$2" "$cache/$2-$pin"
  echo "$cache/$2-$pin"
  ;;
lock)
  [[ $# -ge 3 ]] || usage
  lock "${@:2}"
  ;;
-h | --help) usage 0 ;;
*) usage ;;
esac
