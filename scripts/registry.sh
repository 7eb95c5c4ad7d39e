#!/usr/bin/env bash
# A real schema registry with Confluent's API on this machine: Apicurio Registry, from Maven Central, in memory. Needs
# Java 17 and Python 3.
#
#   scripts/registry.sh start [--dir DIR] [--port P]    in the background
#   scripts/registry.sh stop [--dir DIR]
#   scripts/registry.sh status [--dir DIR]
#   scripts/registry.sh run [--dir DIR] [--port P]      in the foreground; prints "ready" when it is
#
# DIR (default: riftline-registry in the folder for temporary files) gets env, with REGISTRY=URL: what goes into
# value.converter.schema.registry.url. Its global compatibility is set to BACKWARD, as Confluent's is.

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

dir=${TMPDIR:-/tmp}/riftline-registry
port=
version=3.0.9

options() {
  while (($#)); do
    case $1 in
    --dir) dir=$2 && shift 2 ;;
    --port) port=$2 && shift 2 ;;
    *) usage ;;
    esac
  done
}

unpack() {
  [[ ! -e $1/unpacked/.complete ]] || return 0
  rm -rf "$1/unpacked"
  mkdir "$1/unpacked"
  tar -xzf "$1/apicurio-registry-app-$version-all.tar.gz" -C "$1/unpacked"
  touch "$1/unpacked/.complete"
}

download() {
  command -v java >/dev/null || unavailable "no Java here: the registry needs Java 17"
  local home
  home=$("$scripts/artifacts.sh" fetch "apicurio-$version")
  locked apicurio-unpack unpack "$home"
  echo "$home/unpacked/apicurio-registry-app-$version-runner.jar"
}

# backward asks for the compatibility that Confluent's registry starts with; it succeeds once the registry has it.
backward() {
  python3 - "$1" <<'PYTHON' 2>/dev/null
import json, sys, urllib.request
def ask(method, body=None):
    request = urllib.request.Request(sys.argv[1] + "/config", method=method, data=body,
                                     headers={"Content-Type": "application/vnd.schemaregistry.v1+json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)
ask("PUT", b'{"compatibility": "BACKWARD"}')
answer = ask("GET")
sys.exit(answer.get("compatibilityLevel", answer.get("compatibility")) != "BACKWARD")
PYTHON
}

run() {
  local jar
  jar=$(download)
  if [[ -z $port && -s $dir/env ]]; then
    port=$(sed -n 's/.*:\([0-9]*\)\/.*/\1/p' "$dir/env")
  fi
  port=${port:-$(free_port)}
  local url=http://127.0.0.1:$port/apis/ccompat/v7
  echo "REGISTRY=$url" >"$dir/env"
  ready() { answers "$port" && backward "$url"; }
  : >"$dir/registry.log"
  serve "the registry" "$dir/registry.log" 180 ready \
    java -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dquarkus.http.host=127.0.0.1 "-Dquarkus.http.port=$port" -jar "$jar"
}

manage "$@"
