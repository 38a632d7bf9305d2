# stepdown. `make help` lists what there is.

GO      ?= go
BIN     := bin/stepdown
ENGINE  := deploy/engine/node_modules/.package-lock.json
KAFKA   := deploy/kafka/target/.fetched
TOOLS   := bin/tools
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

.PHONY: help demo test race cluster soak build engine kafka lint fmt bench fuzz clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: build engine ## build, simulate a company with six attacks, and stay up for exploring
	$(BIN) demo $(ARGS)

test: engine ## everything that CI promises: real ClickHouse engine, Kafka protocol, the binary itself
	$(GO) vet ./...
	STEPDOWN_REQUIRE_ENGINE=1 $(GO) test ./...

race: engine ## the same under the race detector (slow)
	STEPDOWN_REQUIRE_ENGINE=1 $(GO) test -race ./...

cluster: engine kafka ## three detectors on Apache Kafka under FAULTS (200) faults; STEPDOWN_SEED repeats a schedule
	STEPDOWN_REQUIRE_ENGINE=1 STEPDOWN_REQUIRE_KAFKA=1 STEPDOWN_FAULTS=$(or $(FAULTS),200) \
	  $(GO) test -count=1 -v -timeout 12h -run '^TestCluster$$' ./cmd/stepdown

soak: ## the same for longer: 3000 faults
	$(MAKE) cluster FAULTS=$(or $(FAULTS),3000)

build: ## build bin/stepdown
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o $(BIN) ./cmd/stepdown

engine: $(ENGINE) ## fetch the embedded ClickHouse engine (npm, 178 MB, pinned with integrity)

$(ENGINE): deploy/engine/package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing: install Node.js with npm to fetch the ClickHouse engine" >&2; exit 1; }
	npm ci --prefix deploy/engine --no-audit --no-fund --loglevel=error
	@touch $@

kafka: $(KAFKA) ## fetch Apache Kafka for the cluster test (Maven, 43 MB, pinned; runs on Java 17 or later)

$(KAFKA): deploy/kafka/pom.xml
	@command -v mvn >/dev/null || { echo "mvn is missing: install Maven and Java 17 to fetch Apache Kafka" >&2; exit 1; }
	rm -rf deploy/kafka/target
	mvn -B -q -f deploy/kafka/pom.xml package
	@touch $@

lint: $(TOOLS)/golangci-lint $(TOOLS)/govulncheck ## golangci-lint, govulncheck, tidy go.mod
	$(GO) mod tidy -diff
	$(TOOLS)/golangci-lint run ./...
	deploy/tools/vulncheck.sh $(TOOLS)/govulncheck

$(TOOLS)/%: deploy/tools/go.mod
	@mkdir -p $(TOOLS)
	$(GO) -C deploy/tools build -o $(CURDIR)/$(TOOLS)/ $$($(GO) -C deploy/tools list tool | grep '/$*$$')

fmt: ## format the sources
	gofmt -w cmd ingest detect sinks rules

bench: ## benchmarks of the hot paths, with allocations; those with figures in deploy/bench are set beside them
	@mkdir -p bin
	$(GO) test -run '^$$' -bench . -benchmem ./ingest/... ./detect/... ./rules ./sinks/clickhouse | tee bin/bench.txt
	deploy/bench/compare.sh deploy/bench/figures.txt < bin/bench.txt

fuzz: ## run every fuzz target for FUZZTIME (10s)
	@for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	    $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $${FUZZTIME:-10s} $$pkg || exit 1; \
	  done; done

clean: ## remove what make made
	rm -rf bin deploy/engine/node_modules deploy/kafka/target
