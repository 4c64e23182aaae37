# Everything here needs only Node >= 20 and npm.
export ONNXRUNTIME_NODE_INSTALL_CUDA = skip

.DEFAULT_GOAL := help
.PHONY: help install build package sbom test test-long sim sim-long sim-ha same-ids chaos chaos-ha test-webgpu pictures demo lint format generate bench clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

node_modules/.package-lock.json: package-lock.json $(wildcard */*/package.json) package.json
	npm ci --no-fund --no-audit
	@touch $@

install: node_modules/.package-lock.json ## Install dependencies if they changed

build: install ## Compile all packages and services
	npx tsc -b
	node packages/dashboard/scripts/bundle.mjs
	node scripts/bundle.mjs

package: build ## Build gradpool-VERSION.tgz, an npm package
	node scripts/package.mjs

sbom: install ## List all that the package contains, with licences, in gradpool-VERSION.cdx.json, and check signatures
	node scripts/sbom.mjs
	npm audit signatures

test: build ## Run all tests
	node scripts/run-tests.mjs

test-long: build ## Run all tests, those that take long too, in their full width (an hour)
	GRADPOOL_TEST_LONG=1 node scripts/run-tests.mjs

SEED ?= 1
sim: build ## Run the coordinator's driver through one simulated history: make sim SEED=7
	GRADPOOL_SIM_SEED=$(SEED) node scripts/run-tests.mjs simulation

sim-long: build ## 10,000 seeds of each simulated scenario (ten minutes on two shared cores)
	GRADPOOL_SIM_SEEDS=10000 node scripts/run-tests.mjs simulation

sim-ha: build ## 1,000 seeds of each scenario with several coordinators, or one: make sim-ha SEED=7 (half an hour on two shared cores)
	GRADPOOL_SIM_SEED=$(if $(filter command% environment%,$(origin SEED)),$(SEED)) GRADPOOL_SIM_SEEDS=1000 \
		node scripts/run-tests.mjs shared-pool

same-ids: build ## Compare token ids of 10 MB with Hugging Face's library, for each family (ten minutes)
	node packages/tokenizers/dist/test/ten-megabytes.js

chaos: build ## Long outages, many series of kill -9, every kill point of a save (half an hour; needs strace)
	GRADPOOL_AWAY_SECONDS="0 20 60" node scripts/run-tests.mjs coordinator-away
	GRADPOOL_KILL_SEEDS=5 node scripts/run-tests.mjs integration-tests kills
	GRADPOOL_KILL_POINTS=all node scripts/run-tests.mjs checkpoint-kill

STORMS = $(if $(filter command line environment,$(origin SEED)),$(SEED),1 2 3 4 5 6 7 8 9 10 11 12)
chaos-ha: build ## Twelve storms over coordinators, PostgreSQL, NATS and an object store, or one: make chaos-ha SEED=7 (a quarter of an hour)
	GRADPOOL_STORM_SEEDS="$(STORMS)" node scripts/run-tests.mjs storms

test-webgpu: build ## Run the reference runs on WebGPU, and train, kill and resume there (half an hour on SwiftShader)
	GRADPOOL_TEST_DEVICE=webgpu node scripts/run-tests.mjs golden-graph
	GRADPOOL_TEST_DEVICE=webgpu node scripts/run-tests.mjs golden-cache
	GRADPOOL_TEST_DEVICE=webgpu node scripts/run-tests.mjs integration-tests/dist/test/model-dropout
	GRADPOOL_TEST_DEVICE=webgpu node scripts/run-tests.mjs webgpu-run
	GRADPOOL_TEST_DEVICE=webgpu node scripts/run-tests.mjs webgpu-float16

pictures: build ## Take the pictures in docs/pictures from the running programs (needs Chromium)
	node scripts/pictures.mjs

demo: build ## Fine-tune the small model in models/tiny-coder on this project's own source
	node scripts/demo.mjs

lint: install ## Check style, types, contracts and generated code
	npm run --silent lint

format: install ## Format all files
	npm run --silent format

generate: install ## Generate TypeScript from the contracts
	npm run --silent generate

bench: build ## Measure speed and memory against PEFT (half an hour; SHORT=1: five minutes; PYTHON: with torch and peft)
	node bench/dist/src/table/table.js $(if $(SHORT),--short) --only '$(ONLY)' --rounds '$(ROUNDS)'

clean: ## Remove build output and dependencies
	rm -rf node_modules packages/*/dist services/*/dist integration-tests/dist bench/dist
