#!/usr/bin/env bash
# The programs of a test cluster, each built once from a pinned Go module of tools/ into a cache.
#
# usage: tools.sh list                what each tool provides
#        tools.sh build [TOOL...]     builds what is missing (default: all but keda); does nothing when all are there
#        tools.sh link DIR TOOL...    builds what is missing and puts links to the programs into DIR
#        tools.sh dir TOOL            prints the tool's folder in the cache, built or not
#
# Where a program comes from, in this order: KUBEBUILDER_ASSETS, the cache, the Go tool chain (named in tools/TOOL/go.mod).
# A folder of the cache is named after the hash of go.mod, go.sum and main.go, and holds programs only:
# what Go compiled on the way, up to 5 GB, is deleted. On two cores etcd takes half a minute, kubernetes 4 minutes, helm,
# helm4 and kubeconform together 3, keda 6.
#
# Settings: KUBEBUILDER_ASSETS, ASYA_TEST_CACHE (default ~/.cache/asya-tests), ASYA_TEST_BUILD_JOBS (default: all cores),
# ASYA_TEST_GOCACHE (a Go build cache that is kept, for working on the pins).

set -euo pipefail
TOOLS_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/tools
# shellcheck source=../servers/lib.sh
. "$TOOLS_DIR/../../servers/lib.sh"

COMMAND=${1:---help}
ALL=(etcd kubernetes helm helm4 kubeconform keda-config)

# programs TOOL
programs() {
    case $1 in
    kubernetes) echo kube-apiserver kube-controller-manager kubectl ;;
    keda) echo keda-operator keda-adapter keda-webhooks ;;
    # A folder, not a program: KEDA's CRDs, roles and webhook configuration. Of the pinned release, and from nowhere else.
    keda-config) echo keda-config ;;
    etcd | helm | helm4 | kubeconform) echo "$1" ;;
    *) die "no tool is called \"$1\"; known: ${ALL[*]} keda" ;;
    esac
}

# module_dir TOOL: the Go module that pins it.
module_dir() { echo "$TOOLS_DIR/${1%-config}"; }

# tool_dir TOOL
tool_dir() {
    local module sources
    module=$(module_dir "$1")
    sources=("$module/go.mod" "$module/go.sum")
    [ ! -e "$module/main.go" ] || sources+=("$module/main.go")
    echo "$CACHE_ROOT/cluster/$1-$(cat "${sources[@]}" | sha256sum | cut -c1-12)"
}

# find_program TOOL PROGRAM: prints its path; fails when it has to be built.
find_program() {
    local path
    for path in "${KUBEBUILDER_ASSETS:-/nonexistent}/$2" "$(tool_dir "$1")/$2"; do
        [ ! -x "$path" ] || { echo "$path"; return; }
    done
    return 1
}

# version MODULE: as pinned by the module of the current folder.
version() { go list -m -f '{{.Version}}' "$1"; }

# compile OUT PACKAGE [NAME=VALUE...]: one program, with variables set by the linker.
compile() {
    local out=$1 package=$2 flags='-s -w' setting
    shift 2
    for setting in "$@"; do flags+=" -X $setting"; done
    CGO_ENABLED=0 go build -buildvcs=false -trimpath ${ASYA_TEST_BUILD_JOBS:+-p "$ASYA_TEST_BUILD_JOBS"} \
        -ldflags "$flags" -o "$out" "$package"
}

# compile_tool TOOL OUTDIR: in the tool's folder.
compile_tool() {
    local out=$2 v minor program
    case $1 in
    etcd) compile "$out/etcd" . ;;
    kubernetes)
        v=$(version k8s.io/kubernetes)
        minor=${v#v1.}
        compile "$out/kubernetes" . {k8s.io/component-base,k8s.io/client-go/pkg}/version.git{Version="$v",Major=1,Minor="${minor%%.*}"}
        for program in $(programs kubernetes); do ln -s kubernetes "$out/$program"; done
        ;;
    helm)
        # Without these, `helm template` and `helm lint` believe in Kubernetes 1.20.
        minor=$(version k8s.io/client-go)
        minor=${minor#v0.}
        compile "$out/helm" helm.sh/helm/v3/cmd/helm "helm.sh/helm/v3/internal/version.version=$(version helm.sh/helm/v3)" \
            helm.sh/helm/v3/pkg/{chartutil,lint/rules}.k8sVersionMinor="${minor%%.*}"
        ;;
    helm4) compile "$out/helm4" helm.sh/helm/v4/cmd/helm "helm.sh/helm/v4/internal/version.version=$(version helm.sh/helm/v4)" ;;
    kubeconform) compile "$out/kubeconform" github.com/yannh/kubeconform/cmd/kubeconform ;;
    keda)
        v=$(version github.com/kedacore/keda/v2)
        for program in operator adapter webhooks; do
            compile "$out/keda-$program" "github.com/kedacore/keda/v2/cmd/$program" "github.com/kedacore/keda/v2/version.Version=${v#v}"
        done
        ;;
    keda-config)
        go mod download github.com/kedacore/keda/v2
        cp -r --no-preserve=mode "$(go list -m -f '{{.Dir}}' github.com/kedacore/keda/v2)/config" "$out/keda-config"
        ;;
    esac
}

# What Go compiles on the way is shared by the tools of one run and deleted after it. Runs that were killed left theirs.
scratch() {
    SCRATCH=$CACHE_ROOT/cluster/.building-$$
    trap 'rm -rf "$SCRATCH"' EXIT
    mkdir -p "$SCRATCH"
    local left
    for left in "$CACHE_ROOT"/cluster/.building-*; do
        kill -0 "${left##*-}" 2>/dev/null || rm -rf "$left"
    done
}

# build_tool TOOL: one build of it at a time per machine user; a folder in the cache is complete.
build_tool() {
    local tool=$1 dir log wanted
    dir=$(tool_dir "$tool")
    log=$CACHE_ROOT/cluster/$tool.log
    wanted=$(sed -n 's/^go //p' "$(module_dir "$tool")/go.mod")
    command -v go >/dev/null || die "$tool is NOT TESTED: neither in KUBEBUILDER_ASSETS nor in $dir," \
        "and no Go tool chain to build it (wanted: go $wanted or newer, https://go.dev/dl)"
    [ -n "${SCRATCH:-}" ] || scratch
    (
        flock 6
        [ ! -d "$dir" ] || exit 0
        say "building $tool into $dir (minutes, once; progress in $log)"
        out=$SCRATCH/$tool
        rm -rf "$out"
        mkdir "$out"
        export GOCACHE=${ASYA_TEST_GOCACHE:-$SCRATCH/gocache} GOWORK=off
        cd "$(module_dir "$tool")"
        compile_tool "$tool" "$out" >"$log" 2>&1 || { tail -n 20 "$log" >&2; die "building $tool failed, see $log"; }
        mv "$out" "$dir"
    ) 6>"$CACHE_ROOT/cluster/$tool.lock"
}

# need TOOL...: sequentially, as each build keeps every core busy.
need() {
    local tool program
    for tool in "$@"; do
        for program in $(programs "$tool"); do
            find_program "$tool" "$program" >/dev/null || { build_tool "$tool"; break; }
        done
    done
}

link() {
    local dir=$1 tool program
    shift
    need "$@"
    mkdir -p "$dir"
    for tool in "$@"; do
        for program in $(programs "$tool"); do ln -sfn "$(find_program "$tool" "$program")" "$dir/$program"; done
    done
}

case $COMMAND in
list) for tool in "${ALL[@]}" keda; do echo "$tool: $(programs "$tool")"; done ;;
build) shift; need "${@:-${ALL[@]}}" ;;
link) shift; link "$@" ;;
dir) tool_dir "${2:?dir takes a tool}" ;;
-h | --help | help) usage ;;
*) die "unknown command \"$COMMAND\", try --help" ;;
esac
