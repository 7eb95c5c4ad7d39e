#!/usr/bin/env bash
# Runs a connector now, or shows what its runs say.
#
#   scripts/trigger.sh poll NAME                          one poll of a source, as its schedule makes it
#   scripts/trigger.sh drain NAME [--set KEY=VALUE]…      one drain of a sink, waited for; KEY wins over the connector file
#   scripts/trigger.sh logs NAME [--follow]               what was logged in the last hour, or from now on
#
#   [--project P] [--region R]     what gcloud is set to, unless given
#   [--prefix N]                   what the pipeline's names begin with, riftline unless given
#
# --set needs Python 3, and the role run.developer. --follow needs gcloud's beta commands and grpcio: "gcloud beta logging
# tail --help" says how to install them.

# shellcheck source=cloud.sh
source "$(dirname "${BASH_SOURCE[0]}")/cloud.sh"

what=${1:-}
[[ $what != -h && $what != --help ]] || usage 0
(($#)) && shift
name=
follow=
overrides=()
while (($#)); do
  common_option "$@"
  if ((taken)); then
    shift "$taken"
    continue
  fi
  case $1 in
  --set)
    [[ $what == drain && ${2:-} == ?*=* ]] || usage
    overrides+=("$2") && shift 2
    ;;
  --follow)
    [[ $what == logs ]] || usage
    follow=1 && shift
    ;;
  -*) usage ;;
  *)
    [[ -z $name ]] || usage
    name=$1 && shift
    ;;
  esac
done
[[ -n $name ]] || usage
[[ $name =~ ^[A-Za-z0-9._-]{1,64}$ ]] || die "\"$name\" is no name of a connector"

# slug is what infra makes of a name (local.slug in infra/connectors.tf): one that does not fit Google Cloud's rules gets
# six digits of its checksum.
slug() {
  if [[ $name =~ ^[a-z0-9]([-a-z0-9]*[a-z0-9])?$ ]] && ((${#name} <= 30)); then
    echo "$name"
    return
  fi
  local plain sum
  plain=$(tr '[:upper:]' '[:lower:]' <<<"$name" | sed -E 's/[^a-z0-9]+/-/g; s/^-//; s/-$//')
  plain=${plain:0:23}
  if command -v sha256sum >/dev/null; then
    sum=$(printf %s "$name" | sha256sum)
  else
    sum=$(printf %s "$name" | shasum -a 256)
  fi
  plain=${plain%-}-${sum:0:6}
  echo "${plain#-}"
}

poll() {
  need_region
  run gcloud scheduler jobs run "$prefix-poll-$(slug)" "--project=$project" "--location=$region"
}

drain() {
  need_region
  local job flags=(--wait)
  job=$prefix-sink-$(slug)
  if ((${#overrides[@]})); then
    command -v python3 >/dev/null || die "--set needs Python 3, which puts the keys together with those that the job has"
    local merged
    merged=$(run gcloud run jobs describe "$job" "--project=$project" "--region=$region" --format=json | merge)
    # merge leaves no @ in it, so that one can stand between the variables in place of a comma.
    flags+=("--update-env-vars=^@^RIFTLINE_OVERRIDES=$merged")
  fi
  run gcloud run jobs execute "$job" "--project=$project" "--region=$region" "${flags[@]}"
}

# merge reads a job and prints its RIFTLINE_OVERRIDES with those of --set over them.
merge() {
  python3 -c '
import json, sys

job = json.load(sys.stdin)
containers = job["spec"]["template"]["spec"]["template"]["spec"]["containers"]
variables = {v["name"]: v.get("value", "") for v in containers[0].get("env", [])}
merged = json.loads(variables.get("RIFTLINE_OVERRIDES") or "{}")
keys = merged.setdefault(sys.argv[1], {})
for item in sys.argv[2:]:
    key, _, value = item.partition("=")
    keys[key] = value
print(json.dumps(merged, separators=(",", ":")).replace("@", "\\u0040"))
' "$name" "${overrides[@]}"
}

logs() {
  # A source logs in the service that polls all of them, a sink in a job of its own.
  local job filter
  job=$prefix-sink-$(slug)
  filter="(resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"$prefix-poller\" AND jsonPayload.connector=\"$name\")"
  filter+=" OR (resource.type=\"cloud_run_job\" AND resource.labels.job_name=\"$job\")"
  local format='value(timestamp, severity, jsonPayload)'
  if [[ -n $follow ]]; then
    run gcloud beta logging tail "$filter" "--project=$project" "--format=$format"
  else
    run gcloud logging read "$filter" "--project=$project" --freshness=1h --order=asc "--format=$format"
  fi
}

case $what in
poll | drain | logs)
  need_project
  "$what"
  ;;
*) usage ;;
esac
