#!/usr/bin/env bash
# Runs Apache Avro's own command line, from Maven Central: an independent reader of the objects. Needs Java.
#
#   scripts/avro-tools.sh tojson FILE.avro
#   scripts/avro-tools.sh PROGRAM.java ARGS…    runs a program of one file with Avro's library; needs a JDK

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

command -v java >/dev/null || unavailable "no Java here: Avro's tools need it"
lib=$("$scripts/artifacts.sh" fetch avro-tools-1.12.1)
if [[ ${1:-} == *.java ]]; then
  java --list-modules | grep -q '^jdk.compiler@' || unavailable "this Java has no compiler: a JDK is needed"
  exec java -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$lib/*" "$@"
fi
exec java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$lib/*" org.apache.avro.tool.Main "$@"
