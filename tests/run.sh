#!/usr/bin/env bash
# The gate: `make test` (everything), `make test-fast` (no servers), `make lint`. CI runs the first. Behind the builds it has
# two halves, `--cargo` and `--others`, which run beside each other, and `--examples`; they find servers in their environment.
# `make test-keda` stands beside it: its build takes minutes.
#
# What it needs and does not find it installs: Python tools into target/venv, cargo-deny into target/tools, test
# servers as tests/servers says. With CI=true a server that cannot be had is a failure; without, it is said loudly and
# the tests that need it say so too.
set -euo pipefail
cd "$(dirname "$0")/.."

VENV=target/venv
TOOLS=${ASYA_TOOLS:-$HOME/.cache/asya-tests/tools}
CARGO_DENY_VERSION=0.20.2
# Runs by itself, because its table is to be seen.
CONFORMANCE=every_transport_keeps_every_promise
export PATH="$TOOLS/bin:$PATH"

export ASYA_GATE_BEGAN=${ASYA_GATE_BEGAN:-$(date +%s)}

step() { printf '\n== %s (%ss)\n' "$1" "$(($(date +%s) - ASYA_GATE_BEGAN))"; }

python_tools() {
    step "python tools"
    local wanted="tests/requirements.txt"
    if ! cmp -s "$wanted" "$VENV/requirements.txt"; then
        python3 -m venv "$VENV" || {
            echo "cannot make a virtual environment: install python3-venv (apt-get install python3-venv)" >&2
            exit 1
        }
        "$VENV/bin/pip" install --quiet --disable-pip-version-check -r "$wanted"
        cp "$wanted" "$VENV/requirements.txt"
    fi
}

lint() {
    step "rustfmt, clippy"
    cargo fmt --all --check
    cargo clippy --quiet --workspace --all-targets -- -D warnings
    # Built as the tests build it, by one choice of features for all: what a package alone would be built with are others, and
    # with each of them most of its dependencies are built again.
    step "cargo build"
    cargo build --workspace --all-targets --quiet
    step "generated files"
    local before after
    before=$(git status --porcelain -- docs crds charts)
    make -s generate
    after=$(git status --porcelain -- docs crds charts)
    [ "$before" = "$after" ] || { echo "generated files differ: run 'make generate' and commit" >&2; exit 1; }
    step "dashboard: types, tests, and that the committed files are those of its sources"
    gateway/dashboard/build.sh --check
    step "lock files"
    # The bridge is a workspace of its own; its image is built with --locked.
    for manifest in Cargo.toml runtime-py/bridge/Cargo.toml; do
        cargo metadata --quiet --locked --format-version 1 --manifest-path "$manifest" >/dev/null ||
            { echo "its lock file is out of date: cargo metadata --manifest-path $manifest, and commit" >&2; exit 1; }
    done
    step "licences and bans"
    if ! cargo deny --version 2>/dev/null | grep -q "$CARGO_DENY_VERSION"; then
        cargo install --quiet --locked --root "$TOOLS" "cargo-deny@$CARGO_DENY_VERSION"
    fi
    cargo deny --log-level error check licenses bans sources
    step "ruff, mypy"
    "$VENV/bin/ruff" check --quiet examples benches charts tests
    "$VENV/bin/ruff" format --quiet --check examples benches charts tests
    local package
    for package in runtime-py client-py; do
        (cd $package && "../$VENV/bin/ruff" check --quiet . && "../$VENV/bin/ruff" format --quiet --check .)
        (cd $package && "../$VENV/bin/mypy" --strict src)
    done
}

rust() {
    step "cargo build, cargo test"
    cargo build --workspace --all-targets --quiet
    cargo test --workspace --quiet --no-fail-fast -- --skip "$CONFORMANCE"
}

charts() {
    step "charts"
    tests/charts.sh -m "not cluster"
}

evaluation() {
    step "evaluation of agents: recorded answers"
    if [ -n "${ASYA_TEST_KUBERNETES_CTL:-}" ]; then
        target/debug/asya-eval
    else
        echo "NOT RUN: no Kubernetes API server; tests/servers/all.sh has said why" >&2
    fi
}

conformance() {
    step "conformance: one table, every transport"
    cargo test --quiet --workspace --test conformance -- --nocapture 2>target/conformance.log ||
        { cat target/conformance.log >&2; exit 1; }
}

python() {
    step "pytest"
    (cd runtime-py && "../$VENV/bin/pytest" -q tests)
    (cd client-py && "../$VENV/bin/pytest" -q tests)
}

bridge() {
    step "embedded Python"
    runtime-py/bridge/test.sh
}

cluster() {
    step "test cluster"
    if [ -n "${ASYA_TEST_KUBECONFIG:-}" ]; then
        tests/cluster/smoke.sh
        tests/charts.sh -m cluster
    else
        echo "NOT RUN: no Kubernetes API server; tests/servers/all.sh has said why" >&2
    fi
}

api() {
    step "the gateway's API against its description"
    tests/openapi_fuzz.sh
}

mcp() {
    step "the official client of the Model Context Protocol"
    "$VENV/bin/pytest" -q -p no:cacheprovider tests/mcp
}

dashboard() {
    step "dashboard in Chromium"
    tests/dashboard.sh
}

examples() {
    step "examples"
    examples/documents/demo.sh --check
    tests/publish.sh
}

# Both wait more than they compute, so they run beside each other, each with servers of its own: some tests kill theirs. The
# others are behind, in a process group of their own, and what they say is shown when they have ended.
halves() {
    local state=$1 log=$PWD/target/others.log failed=()
    set -m
    ASYA_TEST_STATE=$state-others tests/servers/all.sh run tests/run.sh --others >"$log" 2>&1 </dev/null &
    local others=$!
    set +m
    # A group that is left alone would go on, and its servers with it.
    trap 'kill -- "-$others" 2>/dev/null || true; wait "$others" || true' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    ASYA_TEST_STATE=$state tests/servers/all.sh run tests/run.sh --cargo || failed+=(--cargo)
    step "the others, which say what they do in $log"
    wait "$others" || failed+=(--others)
    trap - EXIT INT TERM
    cat "$log"
    [ "${#failed[@]}" = 0 ] || { echo "FAILED: ${failed[*]}" >&2; exit 1; }
}

mkdir -p target
python_tools
case "${1:-}" in
    --lint) lint ;;
    --fast)
        cargo fmt --all --check
        CI='' rust
        CI='' python
        ;;
    --cargo)
        rust
        conformance
        ;;
    --others)
        charts
        cluster
        evaluation
        python
        bridge
        api
        mcp
        dashboard
        ;;
    --examples) examples ;;
    "")
        lint
        STATE=${ASYA_TEST_STATE:-$PWD/target/test-servers}
        export ASYA_TEST_RABBITMQ_CTL=$PWD/tests/servers/rabbitmq.sh
        halves "$STATE"
        # Last and alone: it builds the programs as a user does, which are others than those that tests run.
        ASYA_TEST_STATE=$STATE tests/servers/all.sh run tests/run.sh --examples
        ;;
    --keda)
        # As the tests build it.
        cargo build --workspace --all-targets --quiet
        export ASYA_TEST_RABBITMQ_CTL=$PWD/tests/servers/rabbitmq.sh
        ASYA_TEST_SERVERS="rabbitmq rabbitmq4 kubernetes postgres keda" tests/servers/all.sh run tests/run.sh --connected-keda
        ;;
    --connected-keda)
        tests/cluster/smoke_keda.sh
        # Of the whole workspace: the features of its libraries, and so what is built already, depend on what is asked for.
        cargo test --quiet --workspace --test keda_pods -- --nocapture
        cargo test --quiet --workspace --test keda_actor -- --nocapture --test-threads 1
        cargo test --quiet --workspace --test scaler_load -- --nocapture --ignored
        tests/charts.sh -m cluster -k pages_agents
        ;;
    *)
        echo "usage: tests/run.sh [--fast|--lint|--cargo|--others|--examples|--keda]" >&2
        exit 64
        ;;
esac
step "${1:-everything} passed"
