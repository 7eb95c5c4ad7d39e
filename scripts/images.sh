#!/usr/bin/env bash
# Builds the two container images, poller and sink, without a container engine, and pushes them when it is told where to.
#
#   scripts/images.sh [--folder DIR] [--push REPOSITORY]
#
# DIR (default: bin/images) gets an OCI layout for each, DIR/poller and DIR/sink, and its list of contents beside it,
# DIR/poller.spdx.json and DIR/sink.spdx.json (SPDX). The same commit makes the same bytes with the same version of Go,
# wherever and whenever it is built. REPOSITORY is one of Artifact Registry, REGION-docker.pkg.dev/PROJECT/NAME, or another
# registry's; the tag is the commit. Prints a line for each image, NAME and what it is found under.

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

folder=$scripts/../bin/images
repository=

while (($#)); do
  case $1 in
  --folder) folder=${2:?} && shift 2 ;;
  --push) repository=${2:?} && shift 2 ;;
  -h | --help) usage 0 ;;
  *) usage ;;
  esac
done

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
cd "$scripts/.."

commit=$(git rev-parse HEAD)
if [[ -n $(git status --porcelain) ]]; then
  [[ -z $repository ]] || die "there are changes that are not committed: the tag $commit would not say what is in the images"
  commit+=-dirty
fi

ko=$("$scripts/tools.sh" ko)
crane=$("$scripts/tools.sh" crane)
work=$(mktemp -d)
registry=
# ko takes a path for an image's name, which has no capitals and no spaces.
layout=bin/layout.$$
trap '[[ -z $registry ]] || kill "$registry" 2>/dev/null || true; rm -rf "$work" "$layout"' EXIT

# What crane and ko know of registries is theirs, and ends with this script.
export DOCKER_CONFIG=$work

# quietly COMMAND...: shows what COMMAND said on standard error only when it fails.
quietly() {
  "$@" 2>"$work/said" || {
    cat "$work/said" >&2
    die "${1##*/} ${2:-} failed"
  }
}

# base prints the base image: an empty root and a user who is nobody. ko takes one from a registry only, so it is
# pushed to one in memory, on a free port.
base() {
  # The end of an archive with nothing before it; what tar itself writes depends on whose tar it is.
  head -c 1024 /dev/zero >"$work/empty.tar"
  quietly "$crane" append --oci-empty-base -f "$work/empty.tar" -t "127.0.0.1:$port/base:empty" >"$work/pushed"
  quietly "$crane" mutate --user 65532:65532 --set-platform linux/amd64 "127.0.0.1:$port/base:empty"
}

# With a free port of its own choice, which it says in its log.
"$crane" registry serve --address 127.0.0.1:0 >"$work/log" 2>&1 &
registry=$!
serving() { grep -q 'serving on port' "$work/log"; }
wait_for 30 "$registry" serving || die "no registry for the base image: $(<"$work/log")"
port=$(sed -n 's/.*serving on port //p' "$work/log")
base=$(base)
: >"$work/.ko.yaml"

# build NAME
build() {
  rm -rf "$layout" "$work/sbom"
  # The base's name stands in the image and in its list of contents, so it has to be the same each time: it has no port
  # because the registry is asked as the proxy of a name that exists nowhere else. What Go needs was fetched before.
  HTTP_PROXY=http://127.0.0.1:$port NO_PROXY='' KO_DOCKER_REPO=riftline/$1 \
    KO_DEFAULTBASEIMAGE=riftline.localhost/${base#*/} KO_CONFIG_PATH=$work quietly "$ko" build "./functions/$1/cmd" \
    --push=false --bare --oci-layout-path "$layout" --sbom spdx --sbom-dir "$work/sbom" \
    --ldflags '-s -w' --ldflags "-X github.com/riftline/riftline/functions/environment.Version=$commit" \
    --image-label "org.opencontainers.image.title=riftline-$1" \
    --image-label "org.opencontainers.image.source=https://github.com/riftline/riftline" \
    --image-label "org.opencontainers.image.revision=$commit" >"$work/built"
  rm -rf "${folder:?}/$1"
  mv "$layout" "$folder/$1"
  mv "$work"/sbom/*.spdx.json "$folder/$1.spdx.json"
}

# Whatever the machine's own settings are, they must not show in the result.
for variable in "${!KO_@}"; do unset "$variable"; done
export CGO_ENABLED=0 GOOS=linux GOARCH=amd64 GOAMD64=v1 GOEXPERIMENT='' GOFLAGS='-trimpath -buildvcs=false -mod=readonly'
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
go list -deps ./functions/poller/cmd ./functions/sink/cmd >"$work/packages"

# login NAME: to Artifact Registry with gcloud's account, whose token is handed on through a pipe.
login() {
  say "gcloud auth print-access-token"
  gcloud auth print-access-token | quietly "$crane" auth login "$1" -u oauth2accesstoken --password-stdin
}

if [[ ${repository%%/*} == *-docker.pkg.dev ]]; then
  login "${repository%%/*}"
fi
for name in poller sink; do
  build "$name"
  if [[ -n $repository ]]; then
    quietly "$crane" push "$folder/$name" "$repository/$name:$commit" >"$work/pushed"
    echo "$name $repository/$name:$commit"
  else
    echo "$name $folder/$name"
  fi
done
