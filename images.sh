#!/usr/bin/env bash
# Builds the images: `images.sh [asya-sidecar|asya-sidecar-py|asya-operator|asya-crew|asya-crew-helm|asya-gateway]...`, by default all.
# `make images` and `make docker-build` call it.
#
#   REGISTRY   prefix of the names, for example ghcr.io/example
#   TAG        tag; default the version of the workspace
#   IMG        the whole name, for one image
#   RUST_IMAGE, PYTHON_IMAGE, GO_IMAGE   bases other than the Dockerfiles'
#   BUILDER    docker or buildah; default whichever works
#   BUILDER_ARGS   further arguments of its build command
#
# Times in the images are those of the last commit (SOURCE_DATE_EPOCH overrides), so that the same sources give the same
# image; with docker this takes BuildKit 0.13 or newer.
set -euo pipefail
cd "$(dirname "$0")"

SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
TAG=${TAG:-$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)}

builder() {
    if docker info >/dev/null 2>&1; then
        echo docker
    elif command -v buildah >/dev/null; then
        echo buildah
    else
        echo "neither docker nor buildah works here: start docker, or install buildah (apt-get install buildah crun)" >&2
        return 1
    fi
}

build() {
    local file=$1 target=$2 name=$3 arguments=()
    [ -z "${RUST_IMAGE:-}" ] || arguments+=(--build-arg "RUST_IMAGE=$RUST_IMAGE")
    [ -z "${GO_IMAGE:-}" ] || arguments+=(--build-arg "GO_IMAGE=$GO_IMAGE")
    [ -z "${PYTHON_IMAGE:-}" ] || arguments+=(--build-arg "PYTHON_IMAGE=$PYTHON_IMAGE")
    [ -z "$target" ] || arguments+=(--target "$target")
    # shellcheck disable=SC2206 # words on purpose
    arguments+=(${BUILDER_ARGS:-})
    case $BUILDER in
    docker) docker buildx build --build-arg SOURCE_DATE_EPOCH --load -f "$file" -t "$name" "${arguments[@]}" . ;;
    buildah) buildah build --timestamp "$SOURCE_DATE_EPOCH" -f "$file" -t "$name" "${arguments[@]}" . ;;
    *) echo "BUILDER=$BUILDER: must be docker or buildah" >&2 && return 64 ;;
    esac
    echo "built $name"
}

BUILDER=${BUILDER:-$(builder)}
[ $# -gt 0 ] || set -- asya-sidecar asya-sidecar-py asya-operator asya-crew asya-crew-helm asya-gateway
if [ -n "${IMG:-}" ] && [ $# -ne 1 ]; then
    echo "IMG names one image: say which one to build" >&2
    exit 64
fi
for image in "$@"; do
    name=${IMG:-${REGISTRY:+$REGISTRY/}$image:$TAG}
    case $image in
    asya-sidecar) build Dockerfile.sidecar sidecar "$name" ;;
    asya-sidecar-py) build Dockerfile.sidecar sidecar-py "$name" ;;
    asya-operator) build Dockerfile.operator "" "$name" ;;
    asya-crew) build Dockerfile.crew crew "$name" ;;
    asya-crew-helm) build Dockerfile.crew crew-helm "$name" ;;
    asya-gateway) build Dockerfile.gateway "" "$name" ;;
    *) echo "$image: must be asya-sidecar, asya-sidecar-py, asya-operator, asya-crew, asya-crew-helm or asya-gateway" >&2 && exit 64 ;;
    esac
done
