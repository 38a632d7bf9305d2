#!/usr/bin/env bash
# Checks the product for known vulnerabilities: vulncheck.sh GOVULNCHECK.
# The database is the copy that deploy/tools/go.mod pins (golang.org/x/vulndb),
# so that the check gives the same answer everywhere and needs no other network
# than the Go module proxy. STEPDOWN_VULNDB=URL uses another, such as
# https://vuln.go.dev for today's.
set -euo pipefail
checker=$(realpath "$1")
root=$(cd "$(dirname "$0")/../.." && pwd)
tools=$root/deploy/tools
db=${STEPDOWN_VULNDB:-}
if [ -z "$db" ]; then
  version=$(go -C "$tools" list -m -f '{{.Version}}' golang.org/x/vulndb)
  dir=$root/bin/tools/vulndb-$version
  if [ ! -f "$dir/index/db.json" ]; then
    go -C "$tools" mod download golang.org/x/vulndb
    src=$(go -C "$tools" list -m -f '{{.Dir}}' golang.org/x/vulndb)
    mkdir -p "$dir/ID"
    cp "$src"/data/osv/*.json "$dir/ID/"
    chmod -R u+w "$dir"
    go -C "$tools" tool indexdb -vulns "$dir/ID" -out "$dir"
  fi
  db=file://$dir
fi
cd "$root"
# govulncheck exits with 3 when code of ours reaches a vulnerability. One in a
# module is ours to fix, and fails. One in the standard library is fixed by
# building with a newer Go, which go.mod cannot decide for who builds: it is
# shown.
status=0
report=$("$checker" -db "$db" ./...) || status=$?
printf '%s\n' "$report" | grep -v '^ *#[0-9]*:' || true
if [ "$status" -eq 3 ] && ! grep -q '^ *Module: ' <<<"$report"; then
  echo "only the standard library of $(go env GOVERSION) is concerned: build releases with its latest patch release" >&2
  exit 0
fi
exit "$status"
