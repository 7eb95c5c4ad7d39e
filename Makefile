SHELL := /bin/bash
.DEFAULT_GOAL := help

# Packages with tests of their own; the repository's checks, those of infra and the tests against real peers run after
# them, alone, so that nothing competes with a broker for the processor.
unit = $(shell go list ./... | grep -v -e /scripts/check -e /scripts/e2e -e /scripts/infra)
# The race detector wants a C compiler.
race = $(shell command -v "$$(go env CC)" >/dev/null && [ "$$(go env CGO_ENABLED)" = 1 ] && echo -race)
gotest = RIFTLINE_RACE='$(race)' go run ./scripts/gotest

.PHONY: help run run-real test test-unit test-check test-fuzz test-infra test-e2e test-long crash-source crash-sink figures bench bench-micro bench-poll-cost profile lint fmt build images clean

help: ## Show what there is to make
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Run both connector files against a simulated Riot API and embedded parts; results in .riftline
	rm -rf .riftline
	go run ./scripts/riftline run --simulate --source infra/connectors/challenger.json --sink infra/connectors/gcs-sink.json --out .riftline

run-real: ## The same against the real Riot API, with the key in RIOT_API_KEY; results in .riftline-real
	@test -n "$$RIOT_API_KEY" || { echo 'RIOT_API_KEY is not set: get a key at developer.riotgames.com, then: RIOT_API_KEY=… make run-real' >&2; exit 2; }
	go run ./scripts/riftline run --source infra/connectors/challenger.json --sink infra/connectors/gcs-sink.json --out .riftline-real

# Every part runs, also after a failure in an earlier one; a failure in any of them is the result. What failed is said
# once more at the end.
test: ## All tests, with their set-up; what this machine cannot run is listed as SKIP
	@status=0; export RIFTLINE_FAILURES=$$(mktemp); \
	for part in test-unit test-check test-infra test-fuzz test-e2e; do \
		$(MAKE) --no-print-directory $$part || { status=1; echo "FAILED	make $$part" >>"$$RIFTLINE_FAILURES"; }; \
	done; \
	cat "$$RIFTLINE_FAILURES"; rm -f "$$RIFTLINE_FAILURES"; \
	exit $$status

test-unit: ## The tests beside the code
	$(gotest) $(race) -p 2 -shuffle=on -timeout 20m $(unit)

test-check: ## The repository's own checks: package arrows, lint, known vulnerabilities, documentation
	$(gotest) -p 1 -count=1 -timeout 20m ./scripts/check

test-fuzz: ## The fuzz tests that are part of every build, 20 s each
	scripts/fuzz.sh --listed

test-infra: ## Terraform: format, validation, plans against rules, wrong files, deliberate faults, checkov
	$(gotest) -p 1 -count=1 -timeout 20m ./scripts/infra

test-e2e: ## Real Kafka, registry and Pub/Sub, real processes, kills
	$(gotest) -p 1 -count=1 -parallel 10 -timeout 40m ./scripts/e2e

test-long: ## Everything that takes longer: repeated runs, each broker version, each step killed, weeks of polls, fuzzing
	$(gotest) $(race) -p 2 -shuffle=on -count=3 -timeout 60m $(unit)
	RIFTLINE_LONG=1 $(gotest) -p 1 -count=1 -timeout 90m $(unit)
	RIFTLINE_LONG=1 $(gotest) -p 1 -count=1 -timeout 60m ./scripts/infra
	RIFTLINE_LONG=1 $(gotest) -p 1 -count=1 -parallel 10 -timeout 90m ./scripts/e2e
	scripts/fuzz.sh 30s

# How often pollers are killed.
KILLS ?= 500

crash-source: ## Kill pollers KILLS times under lost answers and overlapping triggers, then compare the topics
	RIFTLINE_CRASH_KILLS=$(KILLS) go test -count=1 -v -parallel 10 -run '^TestCrashSource$$' -timeout 90m ./scripts/e2e

crash-sink: ## Kill -9 of KILLS=500 sinks at random and at each step, overlapping, against real Kafka
	RIFTLINE_KILLS=$(KILLS) go test -count=1 -v -parallel 4 -run 'TestSinkCrashes$$' -timeout 60m ./scripts/e2e

figures: ## Measure sizes, starts and memory of the binaries
	RIFTLINE_FIGURES=1 go test -count=1 -v -run TestFigures -timeout 20m ./scripts/e2e

bench: ## Drains and polls against a real Kafka, beside their limits and their marks; the table lies in .bench, too
	go run ./scripts/bench

profile: ## Profiles of a drain and of a poll: what is at their top, and the files in .bench
	go run ./scripts/bench -profile

bench-micro: ## Benchmarks of single packages
	go test -run '^$$' -bench . -benchmem -p 1 $(unit)

bench-poll-cost: ## Count what polls ask of Cloud Storage and Kafka
	go test -count=1 -v -run '^TestPollCost$$' ./functions/poller | grep -E 'cost_test|^(ok|FAIL|---)'

lint: ## golangci-lint, pinned
	"$$(scripts/tools.sh golangci-lint)" run ./...

fmt: ## Format the code
	gofmt -w functions shared scripts

build: ## The binaries, into bin/
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o bin/riftline ./scripts/riftline
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -tags timetzdata -o bin/poller ./functions/poller/cmd
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -tags timetzdata -o bin/sink ./functions/sink/cmd

images: ## The container images, into bin/images
	scripts/images.sh

clean: ## Remove what was built and what runs left
	rm -rf bin .bench .riftline .riftline-real
