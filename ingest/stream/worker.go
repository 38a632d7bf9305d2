package stream

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/segmentio/kafka-go"
	"golang.org/x/time/rate"
)

// worker reads one partition during one generation.
type worker struct {
	group      *Group
	generation *kafka.Generation
	partition  int
	// committed is the group's commit for the partition: where to read on
	// from after an error. Before the first it may be kafka.FirstOffset or
	// kafka.LastOffset.
	committed int64
	// next is the offset to fetch; fetched records wait in pending.
	next    int64
	end     int64
	pending []Message
	handler Partition
	// pause grows with each error of the handler.
	pause *backoff.ExponentialBackOff
	// used is when the handler was last called or opened.
	used time.Time
}

// run reads, handles and commits until the generation ends, or has to because
// its commits are refused.
func (w *worker) run(generation context.Context) {
	ctx, cancel := context.WithCancel(generation)
	defer cancel()
	// Work outlives the generation for as long as the batch in hand may take.
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	unregister := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(w.group.drain(), stop)
		context.AfterFunc(work, func() { timer.Stop() })
	})
	defer unregister()
	defer w.keep()

	if !w.locate(ctx) {
		return
	}
	for ctx.Err() == nil {
		if w.handler == nil && !w.openHandler(ctx) {
			continue
		}
		if len(w.pending) == 0 && !w.fill(ctx) {
			continue
		}
		if len(w.pending) == 0 {
			w.idle(ctx, work)
			continue
		}
		if !w.handle(ctx, work) {
			return
		}
	}
}

// locate turns a start without a commit into an offset, and commits it: a
// group that begins at the end must not begin at a later end after an error.
func (w *worker) locate(ctx context.Context) bool {
	for w.committed < 0 {
		first, end, err := w.group.client.bounds(ctx, w.topic(), w.partition)
		if err != nil {
			if !w.readFailed(ctx, "locate", err) {
				return false
			}
			continue
		}
		if w.committed == kafka.LastOffset {
			first = end
		}
		if !w.commit(first) {
			return false
		}
	}
	w.next = w.committed
	return true
}

func (w *worker) openHandler(ctx context.Context) bool {
	handler, err := w.group.open(ctx, Assignment{
		Topic: w.topic(), Partition: w.partition, Generation: int(w.generation.ID),
	})
	if err != nil {
		w.handlerFailed(ctx, "open", err)
		return false
	}
	w.handler = handler
	w.used = time.Now()
	return true
}

// fill fetches records into pending. It reports false on an error, after a
// pause.
func (w *worker) fill(ctx context.Context) bool {
	c := w.group.client
	f, err := c.fetch(ctx, w.topic(), w.partition, w.next, w.group.config.MaxBytes, min(fetchWait, w.group.config.IdleAfter))
	if err != nil {
		if ctx.Err() != nil {
			return false
		}
		if errors.Is(err, kafka.OffsetOutOfRange) {
			w.outOfRange(ctx)
			return false
		}
		c.forget()
		w.readFailed(ctx, "read", err)
		return false
	}
	w.pending, w.next, w.end = f.messages, f.next, f.end
	c.metrics.lastFetch.WithLabelValues(append(w.labels(), strconv.Itoa(w.partition))...).SetToCurrentTime()
	c.metrics.fetched.WithLabelValues(w.labels()...).Add(float64(len(f.messages)))
	w.reportLag()
	return true
}

// outOfRange finds the records nearest to an offset that the partition does
// not have.
func (w *worker) outOfRange(ctx context.Context) {
	c := w.group.client
	first, end, err := c.bounds(ctx, w.topic(), w.partition)
	switch {
	case err != nil:
		w.readFailed(ctx, "locate", err)
	case w.next < first:
		c.metrics.skipped.WithLabelValues(w.labels()...).Add(float64(first - w.next))
		c.log.Error("records were deleted before they were read", "group", w.group.config.ID,
			"topic", w.topic(), "partition", w.partition, "offset", w.next, "first", first)
		w.next = first
	case w.next > end:
		c.log.Error("partition is shorter than its commit, reading it again", "group", w.group.config.ID,
			"topic", w.topic(), "partition", w.partition, "offset", w.next, "end", end)
		w.next = first
	}
}

// idle tells the handler that nothing came, once that is long enough ago.
func (w *worker) idle(ctx, work context.Context) {
	quiet := time.Since(w.used)
	if quiet < w.group.config.IdleAfter {
		return
	}
	if err := w.handler.Idle(work, quiet); err != nil {
		w.handlerFailed(ctx, "idle", err)
		return
	}
	w.used = time.Now()
}

// handle gives the next batch of pending to the handler and commits it. It
// reports false when the generation is over because the commit failed.
func (w *worker) handle(ctx, work context.Context) bool {
	batch := w.group.config.cut(w.pending)
	if err := w.handler.Handle(work, batch); err != nil {
		w.handlerFailed(ctx, "handle", err)
		return true
	}
	w.used = time.Now()
	w.pause.Reset()
	w.pending = w.pending[len(batch):]
	offset := batch[len(batch)-1].Offset + 1
	if len(w.pending) == 0 {
		w.pending = nil
		offset = w.next
	}
	if !w.commit(offset) {
		return false
	}
	w.group.client.metrics.committed.WithLabelValues(w.labels()...).Add(float64(len(batch)))
	w.reportLag()
	return true
}

// commit records offset through the generation, which the coordinator refuses
// once the member is no longer part of it.
func (w *worker) commit(offset int64) bool {
	err := w.generation.CommitOffsets(map[string]map[int]int64{w.topic(): {w.partition: offset}})
	if err != nil {
		c := w.group.client
		c.metrics.groupErrors.WithLabelValues(w.labels()...).Inc()
		w.group.commitTrouble.Do(func() {
			c.log.Warn("offset not committed, joining again", "group", w.group.config.ID, "topic", w.topic(),
				"partition", w.partition, "offset", offset, "error", err)
		})
		// What was handled and not committed will come again.
		w.closeHandler()
		return false
	}
	w.committed = offset
	return true
}

// handlerFailed goes back to the commit, for a new handler after a pause.
func (w *worker) handlerFailed(ctx context.Context, step string, err error) {
	w.closeHandler()
	w.pending, w.next = nil, w.committed
	w.group.client.metrics.handlerErrors.WithLabelValues(w.labels()...).Inc()
	w.rest(ctx, w.pause.NextBackOff(), &w.group.handleTrouble, step, err)
}

// readFailed reports whether the pause went by before ctx ended.
func (w *worker) readFailed(ctx context.Context, step string, err error) bool {
	w.group.client.metrics.fetchErrors.WithLabelValues(w.labels()...).Inc()
	return w.rest(ctx, rejoinPause, &w.group.readTrouble, step, err)
}

// rest pauses after an error; it reports whether ctx lasted.
func (w *worker) rest(ctx context.Context, wait time.Duration, trouble *rate.Sometimes, step string, err error) bool {
	trouble.Do(func() {
		w.group.client.log.Warn("partition not processed, trying again", "step", step,
			"group", w.group.config.ID, "topic", w.topic(), "partition", w.partition, "offset", w.next, "pause", wait, "error", err)
	})
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (w *worker) closeHandler() {
	if w.handler == nil {
		return
	}
	w.group.closePartition(w.partition, w.handler)
	w.handler = nil
}

// keep leaves the handler for the next generation, if it stands exactly at the
// commit. A group that opens anew closes it here: the member joins again only when
// all its workers have ended.
func (w *worker) keep() {
	if w.group.config.Reopen {
		w.closeHandler()
		return
	}
	if w.handler != nil {
		w.group.kept.put(w.partition, kept{
			handler:    w.handler,
			member:     w.generation.MemberID,
			generation: w.generation.ID,
			committed:  w.committed,
		})
	}
}

func (w *worker) reportLag() {
	w.group.client.metrics.lag.WithLabelValues(append(w.labels(), strconv.Itoa(w.partition))...).
		Set(float64(max(0, w.end-w.committed)))
}

func (w *worker) topic() string    { return w.group.config.Topic }
func (w *worker) labels() []string { return []string{w.group.config.ID, w.group.config.Topic} }

func (g *Group) closePartition(partition int, handler Partition) {
	if err := handler.Close(); err != nil {
		g.client.log.Warn("partition not closed", "group", g.config.ID, "topic", g.config.Topic,
			"partition", partition, "error", err)
	}
}

// keptPartitions holds the open partitions between two generations.
type keptPartitions struct {
	mutex       sync.Mutex
	byPartition map[int]kept
}

type kept struct {
	handler    Partition
	member     string
	generation int32
	committed  int64
}

func (k *keptPartitions) put(partition int, p kept) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if k.byPartition == nil {
		k.byPartition = make(map[int]kept)
	}
	k.byPartition[partition] = p
}

// take returns the open partition for an assignment if nobody else can have
// owned it meanwhile: the same member was given it in the very next
// generation, and the commit is where it was left.
func (k *keptPartitions) take(assignment kafka.PartitionAssignment, generation *kafka.Generation) Partition {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	p, ok := k.byPartition[assignment.ID]
	if !ok || p.member != generation.MemberID || p.generation+1 != generation.ID || p.committed != assignment.Offset {
		return nil
	}
	delete(k.byPartition, assignment.ID)
	return p.handler
}

// drop empties k and returns what it held.
func (k *keptPartitions) drop() map[int]Partition {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	handlers := make(map[int]Partition, len(k.byPartition))
	for partition, p := range k.byPartition {
		handlers[partition] = p.handler
	}
	k.byPartition = nil
	return handlers
}
