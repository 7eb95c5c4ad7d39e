#!/usr/bin/env bash
# Google's Pub/Sub emulator on this machine, from the gcloud component "pubsub-emulator". Needs gcloud, Java and Python 3.
#
#   scripts/pubsub.sh start [--dir DIR] [--port P]    in the background
#   scripts/pubsub.sh stop [--dir DIR]
#   scripts/pubsub.sh status [--dir DIR]
#   scripts/pubsub.sh run [--dir DIR] [--port P]      in the foreground; prints "ready" when it is
#
# DIR (default: riftline-pubsub in the folder for temporary files) gets env, with PUBSUB_EMULATOR_HOST.

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

dir=${TMPDIR:-/tmp}/riftline-pubsub
port=

options() {
  while (($#)); do
    case $1 in
    --dir) dir=$2 && shift 2 ;;
    --port) port=$2 && shift 2 ;;
    *) usage ;;
    esac
  done
}

# download prints the emulator's own archive: gcloud's wrapper would leave it behind when it is killed.
download() {
  command -v java >/dev/null || unavailable "no Java here: the Pub/Sub emulator needs it"
  command -v gcloud >/dev/null || unavailable "no gcloud here: it brings the Pub/Sub emulator"
  local root jar
  root=$(CLOUDSDK_CORE_DISABLE_PROMPTS=1 gcloud info --format='value(installation.sdk_root)' 2>/dev/null)
  for jar in "$root"/platform/pubsub-emulator/lib/cloud-pubsub-emulator*.jar; do
    [[ -e $jar ]] || unavailable "gcloud has no Pub/Sub emulator here: gcloud components install pubsub-emulator"
    echo "$jar"
    return
  done
}

run() {
  local jar
  jar=$(download)
  if [[ -z $port && -s $dir/env ]]; then
    port=$(sed -n 's/.*://p' "$dir/env")
  fi
  port=${port:-$(free_port)}
  echo "PUBSUB_EMULATOR_HOST=127.0.0.1:$port" >"$dir/env"
  ready() { answers "$port" && grep -q 'Server started' "$dir/pubsub.log"; }
  : >"$dir/pubsub.log"
  serve "the Pub/Sub emulator" "$dir/pubsub.log" 120 ready \
    java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -jar "$jar" --host=127.0.0.1 "--port=$port"
}

manage "$@"
