# The few commands people type. `make` alone lists them.
.DEFAULT_GOAL := help
EXAMPLES = "$${CARGO_TARGET_DIR:-target}/debug/examples"
.PHONY: help demo demo-page test test-fast test-keda eval lint bench bench-agents bench-analysis bench-cluster bench-gateway generate images docker-build fuzz clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: ## build what it needs and run the documents example on real text, without broker or cluster
	@examples/documents/demo.sh

demo-page: ## the same, also as a tool of the gateway, and its page at http://127.0.0.1:8089 until Ctrl-C
	@examples/documents/demo.sh --page

test: ## everything: lint, unit, conformance against real brokers, Python, examples; starts the servers it needs
	@tests/run.sh

test-fast: ## what needs no server
	@tests/run.sh --fast

test-keda: ## scaling by the real KEDA on the test cluster; builds KEDA the first time, which takes minutes
	@tests/run.sh --keda

eval: ## questions about broken clusters to an agent, judged: recorded answers, or MODEL= or LIVE=1; ARGS=--help explains
	@evals/run.sh $(if $(MODEL),--model "$(MODEL)") $(if $(LIVE),--live) $(if $(RECORD),--record) $(ARGS)

lint: ## formats, clippy, licences, generated files, ruff, mypy
	@tests/run.sh --lint

bench: ## speed and memory, as ratios in one run, against a real RabbitMQ
	@benches/run.sh

bench-agents: ## 200 sessions with an agent at once: what the runtime takes of each turn, memory
	@benches/agents.sh

bench-analysis: ## 5,000 pods and 2,000 other objects under watch: time, memory and calls of k8s-watch
	@benches/analysis.sh

bench-cluster: ## a thousand actors: time, memory and calls of the operator
	@benches/cluster.sh

bench-gateway: ## 10,000 tool calls through gateway and one actor, with and without SIGKILL of the gateway
	@benches/gateway.sh

generate: ## everything that is derived: CRD, JSON schema, tables in docs
	@cargo build -q --workspace --examples
	@$(EXAMPLES)/metrics-table > docs/metrics.md
	@$(EXAMPLES)/status-tables
	@$(EXAMPLES)/openapi > docs/reference/openapi.json
	@$(EXAMPLES)/watch-rules > charts/asya-analysis/files/watch-rules.yaml
	@crds/generate.sh
	@charts/generate.sh

images: ## the six images, by docker or buildah; REGISTRY= and TAG= name them
	@REGISTRY="$(REGISTRY)" TAG="$(TAG)" ./images.sh

docker-build: ## the operator's image, under the name IMG=
	@IMG="$(IMG)" TAG="$(TAG)" ./images.sh asya-operator

fuzz: ## a minute of each fuzz target; needs a nightly toolchain and cargo-fuzz
	@for target in crates/envelope:envelope crates/handler:frame; do \
		(cd $${target%%:*} && cargo +nightly fuzz run $${target##*:} -- -max_total_time=60) || exit 1; done

clean: ## what builds and tests left behind
	cargo clean
