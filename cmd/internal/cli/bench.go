package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"stepdown/detect"
	"stepdown/ingest/event"
)

// benchBatch is how many records are handled between two flushes of states,
// benchChunk how many are made while the clock stands, and benchWarm how many times
// that are handled before it runs.
const (
	benchBatch = 1_000
	benchChunk = 2_000
	benchWarm  = 25
)

// benchReport is what `stepdown bench detect` has measured.
type benchReport struct {
	Identities int    `json:"identities"`
	Rules      int    `json:"rules"`
	RuleSet    string `json:"rule_set"`
	Traffic    string `json:"traffic"`
	Processors int    `json:"processors"`
	Events     int    `json:"events"`
	Alerts     int    `json:"alerts"`

	// EventsPerSecond and NsPerEvent are of the time that the processor was used for
	// it, collector included; WallSeconds is how long it took, longer where others
	// used the processor too.
	EventsPerSecond float64 `json:"events_per_second"`
	NsPerEvent      float64 `json:"ns_per_event"`
	WallSeconds     float64 `json:"wall_seconds"`
	AllocsPerEvent  float64 `json:"allocs_per_event"`
	// RecordBytes is the mean of a Kafka record, StateBytes what is written to the
	// state topic per event.
	RecordBytes        float64 `json:"record_bytes"`
	StateBytesPerEvent float64 `json:"state_bytes_per_event"`
	// RSSBytes is the whole process, the generator included.
	RSSBytes         int64   `json:"rss_bytes"`
	BytesPerIdentity float64 `json:"bytes_per_identity"`
	GCCPUFraction    float64 `json:"gc_cpu_fraction"`
	RestoreSeconds   float64 `json:"restore_seconds"`
}

func (c *cli) benchCommand() *cobra.Command {
	bench := &cobra.Command{
		Use:   "bench",
		Short: "Measure how fast this machine detects",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var identities, ruleCount, seconds int
	var output string
	cmd := &cobra.Command{
		Use:   "detect",
		Short: "Events per second of one core, from the bytes of Kafka records to alerts and states",
		Long: `Restores the states of many identities, then decodes records and folds, judges and
flushes them in one goroutine on one processor. The people live as those of the
simulated company do, and their records are generated while the clock stands: which
of them is next is drawn from a Zipf distribution, and one record in a hundred is a
sign-in by text message of somebody who may hold a passkey. No Kafka is part of it.`,
		Example: "  stepdown bench detect --identities 1000000 --rules 60 --seconds 30 --output json",
		Args:    cobra.NoArgs,
		RunE: failing(func(cmd *cobra.Command, _ []string) error {
			switch {
			case identities < 1 || identities > benchIdentities:
				return withCode(exitUsage, fmt.Errorf("--identities %d: use 1 to %d", identities, benchIdentities))
			case ruleCount < 1 || ruleCount > 1000:
				return withCode(exitUsage, fmt.Errorf("--rules %d: use 1 to 1000", ruleCount))
			case seconds < 1:
				return withCode(exitUsage, fmt.Errorf("--seconds %d: use 1 or more", seconds))
			case output != "" && output != "json":
				return withCode(exitUsage, fmt.Errorf("--output %q: use json, or leave it out for a table", output))
			}
			r, err := benchDetect(cmd.Context(), identities, ruleCount, time.Duration(seconds)*time.Second)
			if err != nil {
				return err
			}
			if output == "json" {
				out := json.NewEncoder(c.Stdout)
				out.SetIndent("", "  ")
				return out.Encode(r)
			}
			return r.table(c)
		}),
	}
	cmd.Flags().IntVar(&identities, "identities", 1_000_000, "how many people there are")
	cmd.Flags().IntVar(&ruleCount, "rules", 60, "how many rules; beyond the shipped ones they are copies for tenants that do not occur")
	cmd.Flags().IntVar(&seconds, "seconds", 20, "how long to measure")
	cmd.Flags().StringVar(&output, "output", "", "json, or nothing for a table")
	bench.AddCommand(cmd)
	return bench
}

func (r *benchReport) table(c *cli) error {
	w := tabwriter.NewWriter(c.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(value, what string) { fmt.Fprintf(w, "%s\t  %s\n", value, what) }
	row(fmt.Sprintf("%.0f", r.EventsPerSecond), "events per second of one processor")
	row(fmt.Sprintf("%.0f", r.NsPerEvent), "ns per event")
	row(fmt.Sprintf("%.3f", r.AllocsPerEvent), "allocations per event")
	row(fmt.Sprintf("%.0f", r.StateBytesPerEvent), "bytes of state written per event")
	row(fmt.Sprintf("%.0f", float64(r.RSSBytes)/1e6), "MB resident, the generator included")
	row(fmt.Sprintf("%.0f", r.BytesPerIdentity), "bytes of state per identity")
	row(fmt.Sprintf("%.2f", 100*r.GCCPUFraction), "% of the processor spent on garbage collection")
	row(fmt.Sprintf("%.2f", r.RestoreSeconds), "seconds to restore all identities")
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.Stdout, "\n%d identities, %d rules (%s), %d events of %.0f bytes (%s), %d alert revisions, one goroutine on %d of %d processors.\n",
		r.Identities, r.Rules, r.RuleSet, r.Events, r.RecordBytes, r.Traffic, r.Alerts, r.Processors, runtime.NumCPU())
	return err
}

// benchDetect measures one shard.
func benchDetect(ctx context.Context, identities, ruleCount int, length time.Duration) (*benchReport, error) {
	set, ruleSet, err := benchRules(ruleCount)
	if err != nil {
		return nil, err
	}
	engine := detect.NewEngine(set, detect.DefaultConfig(), nil)
	load, err := newBenchLoad(engine, identities)
	if err != nil {
		return nil, err
	}
	// One core: the collector's share is part of what is measured.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	debug.FreeOSMemory() // what the simulation took
	r := &benchReport{Identities: identities, Rules: ruleCount, RuleSet: ruleSet, Traffic: benchTraffic, Processors: runtime.GOMAXPROCS(0)}
	shard := detect.NewShard(engine)
	defer shard.Close()
	restore, err := load.restore(shard)
	if err != nil {
		return nil, err
	}
	r.RestoreSeconds = restore.Seconds()

	var decoder event.Decoder
	var spent time.Duration // on the clock
	var used benchUse
	var bytes, states int64
	offset := int64(1) << 40 // behind those of the states
	for warm := benchWarm; spent < length; warm-- {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		records := load.next(benchChunk)
		before, began := readBenchUse(), time.Now()
		for i, data := range records {
			e, err := decoder.Decode(data)
			if err != nil {
				return nil, err
			}
			if err := shard.Apply(e, offset); err != nil {
				return nil, err
			}
			offset++
			bytes += int64(len(data))
			if i%benchBatch != benchBatch-1 {
				continue
			}
			r.Alerts += len(shard.Drain())
			for state, err := range shard.Dirty() {
				if err != nil {
					return nil, err
				}
				states += int64(len(state.Data))
			}
		}
		if warm > 0 {
			bytes, states, r.Alerts = 0, 0, 0
			continue
		}
		spent += time.Since(began)
		used.add(before, readBenchUse())
		r.Events += len(records)
	}
	n := float64(r.Events)
	r.WallSeconds = spent.Seconds()
	if used.processor == 0 {
		used.processor = spent
	}
	r.EventsPerSecond, r.NsPerEvent = n/used.processor.Seconds(), float64(used.processor.Nanoseconds())/n
	r.AllocsPerEvent, r.GCCPUFraction = float64(used.allocs)/n, used.gc/used.processor.Seconds()
	r.RecordBytes, r.StateBytesPerEvent = float64(bytes)/n, float64(states)/n
	count, size := shard.Size()
	r.BytesPerIdentity, r.RSSBytes = float64(size)/float64(count), resident()
	return r, nil
}

// benchUse is what the runtime has used.
type benchUse struct {
	processor time.Duration
	allocs    uint64
	gc        float64 // seconds of processor
}

func readBenchUse() benchUse {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}, {Name: "/cpu/classes/gc/total:cpu-seconds"}}
	metrics.Read(s)
	return benchUse{processorTime(), s[0].Value.Uint64(), s[1].Value.Float64()}
}

func (u *benchUse) add(from, to benchUse) {
	u.processor += to.processor - from.processor
	u.allocs += to.allocs - from.allocs
	u.gc += to.gc - from.gc
}

// resident returns the resident memory of the process, where the system tells it,
// and what the runtime has from it elsewhere.
func resident() int64 {
	if data, err := os.ReadFile("/proc/self/statm"); err == nil {
		if fields := strings.Fields(string(data)); len(fields) > 1 {
			if pages, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
				return pages * int64(os.Getpagesize())
			}
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys)
}
