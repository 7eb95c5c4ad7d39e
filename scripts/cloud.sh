# Shared by the scripts that work on Google Cloud; sourced, not run. Each has the options of common_option.
# shellcheck shell=bash
# What is not used here is used by the scripts that source it.
# shellcheck disable=SC2034

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

project=
region=
prefix=riftline
prefix_given=
# dry is not empty when commands are only shown.
dry=

# common_option ARGS...: takes an option that all have, and sets taken to how many arguments that were, 0 for another one.
common_option() {
  taken=2
  case ${1:-} in
  --project) project=${2:?"--project wants the project's id"} ;;
  --region) region=${2:?"--region wants a region, europe-west1 for example"} ;;
  --prefix) prefix=${2:?"--prefix wants what the names of the pipeline begin with"} prefix_given=1 ;;
  *) taken=0 ;;
  esac
}

# show COMMAND...: prints a command as a shell would take it.
show() {
  local word line=+ quote="'\\''"
  for word in "$@"; do
    if [[ $word =~ ^[A-Za-z0-9_./:=,@%+^-]+$ ]]; then
      line+=" $word"
    else
      line+=" '${word//"'"/"$quote"}'"
    fi
  done
  echo "$line" >&2
}

# run COMMAND...: prints a command, and runs it unless commands are only shown.
run() {
  show "$@"
  [[ -n $dry ]] || "$@"
}

# configured PROPERTY...: the first of gcloud's own settings that is set.
configured() {
  local property value
  for property in "$@"; do
    value=$(run gcloud config list "--format=value($property)") || return
    if [[ -n $value ]]; then
      echo "$value"
      return
    fi
  done
}

# need_project and need_region: what was not given is what gcloud is set to. Where commands are only shown, gcloud is
# not asked, and a word stands for its answer.
need_project() {
  [[ -n $project ]] || project=$(configured core.project)
  [[ -n $project || -z $dry ]] || project=PROJECT
  [[ -n $project ]] || die "which project? Say --project PROJECT, or set it: gcloud config set project PROJECT"
}

need_region() {
  [[ -n $region ]] || region=$(configured run.region compute.region)
  [[ -n $region || -z $dry ]] || region=REGION
  [[ -n $region ]] || die "which region? Say --region REGION, or set it: gcloud config set run/region REGION"
}
