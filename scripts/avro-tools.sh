#!/usr/bin/env bash
# Runs Apache Avro's own command line, from Maven Central: an independent reader of the objects. Needs Java.
#
#   scripts/avro-tools.sh tojson FILE.avro

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

command -v java >/dev/null || unavailable "no Java here: Avro's tools need it"
lib=$("$scripts/artifacts.sh" fetch avro-tools-1.12.1)
exec java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$lib/*" org.apache.avro.tool.Main "$@"
