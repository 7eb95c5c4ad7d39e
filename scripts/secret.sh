#!/usr/bin/env bash
# Adds a version to a secret of Secret Manager. The value comes from standard input and is shown nowhere: it is no
# argument and no variable of any program, and a terminal does not echo it.
#
#   scripts/secret.sh NAME [--project P] <FILE
#   scripts/secret.sh NAME [--project P]              asks for the value
#
# A line break at the value's end, which a file or a pasted key has, is left out. The secret itself is made by
# Terraform. Pollers and sinks see the new version within five minutes as a rule.

# shellcheck source=cloud.sh
source "$(dirname "${BASH_SOURCE[0]}")/cloud.sh"

name=
while (($#)); do
  common_option "$@"
  if ((taken)); then
    shift "$taken"
    continue
  fi
  case $1 in
  -h | --help) usage 0 ;;
  -*) usage ;;
  *)
    [[ -z $name ]] || die "the value comes from standard input, not from the command line, where others can see it"
    name=$1 && shift
    ;;
  esac
done
[[ -n $name ]] || usage
[[ $name =~ ^[A-Za-z0-9_-]{1,255}$ ]] || die "\"$name\" is no name of a secret: it has letters, digits, - and _"
need_project

# A variable of this name that the caller exports would hand the value on to gcloud.
unset value
if [[ -t 0 ]]; then
  # Before it is asked for, so that nothing is shown that is pasted early.
  terminal=$(stty -g)
  trap 'stty "$terminal"' EXIT
  stty -echo
  printf 'Value of %s (it is not shown): ' "$name" >&2
  IFS= read -r value || true
  echo >&2
elif IFS= read -rd '' value; then
  die "the value holds a zero byte, so it is no text"
fi
if [[ $value == *$'\n' ]]; then
  value=${value%$'\n'}
  value=${value%$'\r'}
fi
[[ -n $value ]] || die "no value came from standard input; nothing was added"

printf %s "$value" | run gcloud secrets versions add "$name" "--project=$project" --data-file=- || {
  status=$?
  say "nothing was added. If the secret is missing: terraform -chdir=infra apply -target=google_secret_manager_secret.reference makes those that connector files name"
  exit "$status"
}
