#!/usr/bin/env bash
# Takes the pipeline down: schedules, poller, jobs, accounts, secrets, alerts. What was archived and what is known to be
# archived stays, so that a later deploy goes on where this one stopped.
#
#   scripts/teardown.sh                                   shows what would go, and changes nothing
#   scripts/teardown.sh --yes                             does it without asking again
#   scripts/teardown.sh --yes --delete-data BUCKET…       and deletes these buckets of the pipeline with all that is in them
#
#   [--project P]     what gcloud is set to, unless given
#
# Buckets stay unless they are named after --delete-data, and the cluster and the topics of Google's Kafka stay in any
# case: they hold data too. A cluster that stays is paid for; "gcloud managed-kafka clusters delete" ends that.

# shellcheck source=cloud.sh
source "$(dirname "${BASH_SOURCE[0]}")/cloud.sh"

dry=1
buckets=()
while (($#)); do
  common_option "$@"
  if ((taken)); then
    shift "$taken"
    continue
  fi
  case $1 in
  --yes) dry='' && shift ;;
  --delete-data)
    shift
    (($#)) && [[ $1 != -* ]] || die "--delete-data wants the name of each bucket whose data you want to lose"
    while (($#)) && [[ $1 != -* ]]; do buckets+=("$1") && shift; done
    ;;
  -h | --help) usage 0 ;;
  *) usage ;;
  esac
done

cd "$scripts/.."

# What Terraform made. Reading it changes nothing, so that is done in any case.
show terraform -chdir=infra state list
list=$(terraform -chdir=infra state list)
targets=()
bucket_addresses=()
while IFS= read -r address; do
  if [[ -z $address || $address =~ (^|\.)data\. ]]; then
    continue
  elif [[ $address =~ (^|\.)google_storage_bucket\. ]]; then
    bucket_addresses+=("$address")
  elif [[ ! $address =~ (^|\.)google_managed_kafka_(cluster|topic)\. ]]; then
    targets+=("-target=$address")
  fi
done <<<"$list"

# A bucket's name is asked of Terraform: what else this account may delete is none of this script's business.
pipelines=$'\n'
if ((${#buckets[@]})); then
  need_project
  for address in ${bucket_addresses[@]+"${bucket_addresses[@]}"}; do
    show terraform -chdir=infra state show -no-color "$address"
    shown=$(terraform -chdir=infra state show -no-color "$address")
    pipelines+=$(sed -En 's/^ {4}name += "([^"]*)"$/\1/p' <<<"$shown")$'\n'
  done
fi
for bucket in ${buckets[@]+"${buckets[@]}"}; do
  [[ $pipelines == *$'\n'"$bucket"$'\n'* ]] || die "there is no bucket $bucket that this pipeline made; nothing was changed"
done

if ((${#targets[@]} == 0)); then
  say "Terraform has nothing to take down"
elif [[ -n $dry ]]; then
  show terraform -chdir=infra plan -destroy "${targets[@]}"
  terraform -chdir=infra plan -destroy "${targets[@]}"
else
  run terraform -chdir=infra apply -destroy -auto-approve "${targets[@]}"
fi
for bucket in ${buckets[@]+"${buckets[@]}"}; do
  run gcloud storage rm --recursive "gs://$bucket" "--project=$project"
done
[[ -z $dry ]] || say "nothing was changed; --yes does it"
