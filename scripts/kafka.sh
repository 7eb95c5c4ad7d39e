#!/usr/bin/env bash
# A real Apache Kafka broker on this machine: one node, KRaft, from Maven Central. Needs Java 17 and Python 3.
#
#   scripts/kafka.sh start [OPTIONS]    starts it in the background; it keeps its data and its ports in DIR
#   scripts/kafka.sh stop [--dir DIR]
#   scripts/kafka.sh status [--dir DIR]
#   scripts/kafka.sh run [OPTIONS]      the same in the foreground; prints "ready" when it is
#   scripts/kafka.sh tool NAME ARGS..   Kafka's own command line: topics, consumer-groups, console-consumer,
#                                       console-producer, configs, acls, transactions, get-offsets
#
#   --dir DIR                  where it lives (default: riftline-kafka in the folder for temporary files)
#   --version V                4.1.0 (default) or 3.9.1
#   --transaction-version N    0 or 2: the transaction protocol of KIP-890, from 4.0 on (default: the broker's)
#   --port P                   the port of the PLAINTEXT listener (default: a free one)
#   --secure                   besides: SASL_PLAINTEXT and SASL_SSL (PLAIN, SCRAM-SHA-512), SSL (client certificate
#                              required), and an authorizer; needs Go, which writes the certificates
#   --set KEY=VALUE            a broker setting, as often as wanted
#
# DIR/env says how to reach it: BOOTSTRAP, and with --secure SASL_PLAINTEXT, SASL_SSL, SSL (host:port), SASL_USER and SASL_PASSWORD
# (all rights), LIMITED_USER and LIMITED_PASSWORD (known, but without any right), CA, CERTIFICATE, KEY and KEYSTORE (files).
#
#   scripts/kafka.sh start && . "${TMPDIR:-/tmp}/riftline-kafka/env"
#   scripts/kafka.sh tool consumer-groups --bootstrap-server "$BOOTSTRAP" --describe --group connect-gcs-sink

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

dir=${TMPDIR:-/tmp}/riftline-kafka
version=4.1.0
transaction_version=
port=
secure=
settings=()

options() {
  while (($#)); do
    case $1 in
    --dir) dir=$2 && shift 2 ;;
    --version) version=$2 && shift 2 ;;
    --transaction-version) transaction_version=$2 && shift 2 ;;
    --port) port=$2 && shift 2 ;;
    --secure) secure=1 && shift ;;
    --set) settings+=("$2") && shift 2 ;;
    *) usage ;;
    esac
  done
}

download() {
  command -v java >/dev/null || unavailable "no Java here: Kafka needs Java 17"
  "$scripts/artifacts.sh" fetch "kafka-$version"
}

# Kafka 4 logs by log4j 2, Kafka 3 by log4j 1; each ignores the other's setting.
logging() {
  echo "-Dlog4j2.configurationFile=$scripts/kafka/log4j2-$1.properties" \
    "-Dlog4j.configuration=file:$scripts/kafka/log4j-$1.properties"
}

secret() { python3 -c 'import secrets; print(secrets.token_hex(12))'; }

# prepare formats DIR once: ports, passwords and settings stay what they were when it is started again.
prepare() {
  [[ ! -s $dir/formatted ]] || return 0
  local controller
  port=${port:-$(free_port)}
  controller=$(free_port)
  local listeners="PLAINTEXT://127.0.0.1:$port"
  echo "BOOTSTRAP=127.0.0.1:$port" >"$dir/env"
  local extra=() scram=()
  if [[ -n $secure ]]; then
    command -v go >/dev/null || unavailable "no Go here: it writes the certificates that --secure needs"
    (cd "$scripts/.." && go run ./scripts/certificates "$dir/tls")
    local sasl tls both user_password limited_password
    sasl=$(free_port) tls=$(free_port) both=$(free_port)
    user_password=$(secret) limited_password=$(secret)
    listeners+=",SASL_PLAINTEXT://127.0.0.1:$sasl,SSL://127.0.0.1:$tls,SASL_SSL://127.0.0.1:$both"
    (
      umask 077
      cat >>"$dir/env" <<ENV
SASL_PLAINTEXT=127.0.0.1:$sasl
SASL_SSL=127.0.0.1:$both
SSL=127.0.0.1:$tls
SASL_USER=riftline
SASL_PASSWORD=$user_password
LIMITED_USER=limited
LIMITED_PASSWORD=$limited_password
CA=$dir/tls/ca.pem
CERTIFICATE=$dir/tls/client.pem
KEY=$dir/tls/client.key
KEYSTORE=$dir/tls/client.both.pem
ENV
    )
    chmod 600 "$dir/env"
    scram=(--add-scram "SCRAM-SHA-512=[name=riftline,password=$user_password]"
      --add-scram "SCRAM-SHA-512=[name=limited,password=$limited_password]")
    local plain="org.apache.kafka.common.security.plain.PlainLoginModule required user_riftline=\"$user_password\" user_limited=\"$limited_password\";"
    local name
    for name in sasl_plaintext sasl_ssl; do
      extra+=("listener.name.$name.plain.sasl.jaas.config=$plain"
        "listener.name.$name.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;")
    done
    extra+=("sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512"
      "ssl.keystore.type=PEM" "ssl.keystore.location=$dir/tls/server.both.pem"
      "ssl.truststore.type=PEM" "ssl.truststore.location=$dir/tls/ca.pem"
      "listener.name.ssl.ssl.client.auth=required"
      "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer"
      "super.users=User:ANONYMOUS;User:riftline;User:CN=riftline")
  fi
  cat >"$dir/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
controller.listener.names=CONTROLLER
listeners=$listeners,CONTROLLER://127.0.0.1:$controller
advertised.listeners=$listeners
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
inter.broker.listener.name=PLAINTEXT
log.dirs=$dir/data
num.partitions=1
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=8388608
$(printf '%s\n' "${extra[@]}" "${settings[@]}")
PROPERTIES
  chmod 600 "$dir/server.properties"
  local feature=()
  [[ -z $transaction_version ]] || feature=(--feature "transaction.version=$transaction_version")
  # shellcheck disable=SC2046
  java -Xmx256m $(logging tool) -cp "$lib/*" kafka.tools.StorageTool format -t "$(python3 -c 'import base64, uuid; print(base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="))')" \
    -c "$dir/server.properties" "${scram[@]}" "${feature[@]}" >"$dir/format.log" 2>&1 || {
    tail -n 20 "$dir/format.log" >&2
    die "the storage of Kafka $version could not be formatted"
  }
  echo "$version" >"$dir/formatted"
}

run() {
  [[ ! -s $dir/formatted ]] || version=$(<"$dir/formatted")
  lib=$(download)
  prepare
  # shellcheck source=/dev/null
  port=$(sed -n 's/^BOOTSTRAP=.*://p' "$dir/env")
  ready() { answers "$port" && grep -q 'Kafka Server started' "$dir/kafka.log"; }
  : >"$dir/kafka.log"
  # shellcheck disable=SC2046
  serve "Kafka $version" "$dir/kafka.log" 120 ready \
    java -Xms256m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 $(logging server) -cp "$lib/*" kafka.Kafka "$dir/server.properties"
}

tool() {
  local class
  case ${1:-} in
  topics) class=org.apache.kafka.tools.TopicCommand ;;
  consumer-groups) class=org.apache.kafka.tools.consumer.group.ConsumerGroupCommand ;;
  console-consumer) class=org.apache.kafka.tools.consumer.ConsoleConsumer ;;
  console-producer) class=org.apache.kafka.tools.ConsoleProducer ;;
  configs) class=kafka.admin.ConfigCommand ;;
  acls) class=kafka.admin.AclCommand ;;
  transactions) class=org.apache.kafka.tools.TransactionsCommand ;;
  get-offsets) class=org.apache.kafka.tools.GetOffsetShell ;;
  *) usage ;;
  esac
  shift
  lib=$(download)
  # shellcheck disable=SC2046
  exec java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 $(logging tool) -cp "$lib/*" "$class" "$@"
}

case ${1:-} in
tool) tool "${@:2}" ;;
*) manage "$@" ;;
esac
