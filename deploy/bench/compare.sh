#!/bin/sh
# compare.sh FIGURES < OUTPUT: sets the output of `go test -bench` beside figures of
# an earlier run, both in the format that benchstat reads. Times depend on the
# machine and are shown as ratios; allocations do not, and more of them fail.
set -eu
awk -v figures="$1" '
  function field(unit,  i) { for (i = 4; i <= NF; i++) if ($i == unit) return $(i - 1); return "" }
  BEGIN {
    while ((getline < figures) > 0) if ($1 ~ /^Benchmark/) { sub(/-[0-9]+$/, "", $1); ns[$1] = field("ns/op"); allocs[$1] = field("allocs/op") }
    printf "%-44s %12s %12s %7s %8s\n", "benchmark", "figure ns", "now ns", "ratio", "allocs"
  }
  $1 ~ /^Benchmark/ {
    sub(/-[0-9]+$/, "", $1)
    if (!($1 in ns) || seen[$1]++) next
    now = field("ns/op"); a = field("allocs/op")
    printf "%-44s %12.0f %12.0f %7.2f %8d", $1, ns[$1], now, now / ns[$1], a
    if (a + 0 > allocs[$1] * 1.1 + 0.5) { printf "  MORE THAN %d", allocs[$1]; failed = 1 }
    print ""
  }
  END { exit failed }
'
