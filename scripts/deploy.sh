#!/usr/bin/env bash
# Deploys the commit that is checked out: builds both images, pushes them with the commit as their tag, and applies infra
# with them.
#
#   scripts/deploy.sh [--project P] [--region R] [--prefix N] [--repository REPO] [--dry-run] [-- TERRAFORM OPTIONS…]
#
# Project and region are those that gcloud is set to, unless given; N is riftline; REPO is the repository N in Artifact
# Registry, R-docker.pkg.dev/P/N. What stands behind -- goes to terraform apply, -auto-approve for example.
# --dry-run shows the commands and makes none of them.
#
# What was deployed is left in infra/deploy.auto.tfvars, where Terraform finds it by itself: after a change of connector
# files or settings alone, terraform -chdir=infra apply is enough.

# shellcheck source=cloud.sh
source "$(dirname "${BASH_SOURCE[0]}")/cloud.sh"

repository=

while (($#)); do
  common_option "$@"
  if ((taken)); then
    shift "$taken"
    continue
  fi
  case $1 in
  --repository) repository=${2:?"--repository wants REGION-docker.pkg.dev/PROJECT/NAME"} && shift 2 ;;
  --dry-run) dry=1 && shift ;;
  --) shift && break ;;
  -h | --help) usage 0 ;;
  *) usage ;;
  esac
done

cd "$scripts/.."

changes=$(git status --porcelain)
[[ -z $changes ]] || die "commit these first, as images are named after the commit that they are built from:
$changes"
commit=$(git rev-parse HEAD)
need_project
need_region
repository=${repository:-$region-docker.pkg.dev/$project/$prefix}

run scripts/images.sh --push "$repository"

settings=infra/deploy.auto.tfvars
show tee "$settings"
# A prefix that is not given here may stand in the user's own settings.
written="# Written by scripts/deploy.sh.
project_id   = \"$project\"
region       = \"$region\"
poller_image = \"$repository/poller:$commit\"
sink_image   = \"$repository/sink:$commit\"${prefix_given:+
prefix       = \"$prefix\"}"
if [[ -n $dry ]]; then
  echo "$written" >&2
else
  # Whole or not at all.
  echo "$written" >"$settings.new"
  mv "$settings.new" "$settings"
fi

run terraform -chdir=infra apply "$@"
