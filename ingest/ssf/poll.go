package ssf

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/rest"
)

// poller asks the transmitter for tokens, RFC 8936. There is no position to save:
// the transmitter keeps what was not acknowledged.
type poller struct {
	*inlet
	client   *rest.Client
	ref      string
	cfg      Poll
	interval time.Duration
	// rest is true when there was nothing at the last look.
	rest bool

	turn sync.Mutex // guards the next two
	// acks are durable, errs were refused; both are told with the next request, and
	// again until one went through.
	acks []string
	errs map[string]*refusal
}

func newPoller(c *Config, in *inlet) (*poller, error) {
	base, ref := splitAddress(c.Poll.URL)
	client, err := rest.New(c.Budget, rest.Options{Base: base, Credential: rest.Header("Authorization", "Bearer ", c.Poll.Token),
		Cure: "give the stream's client a new token"}, in.rt)
	if err != nil {
		return nil, err
	}
	return &poller{inlet: in, client: client, ref: ref, cfg: c.Poll, interval: c.Interval, errs: map[string]*refusal{}}, nil
}

// Seek implements ingest.Source.
func (*poller) Seek(json.RawMessage) error { return nil }

// Close implements ingest.Source.
func (*poller) Close() error { return nil }

// ask is the body of a poll.
type ask struct {
	MaxEvents         int                 `json:"maxEvents,omitempty"`
	ReturnImmediately bool                `json:"returnImmediately"`
	Acks              []string            `json:"ack,omitempty"`
	Errs              map[string]*refusal `json:"setErrs,omitempty"`
}

// Consumes implements ingest.Consumer.
func (p *poller) Consumes() string {
	return "a stream whose events are acknowledged once they are read"
}

// Poll implements ingest.Source.
func (p *poller) Poll(ctx context.Context) (ingest.Batch, error) {
	if p.rest {
		if err := p.rt.Wait(ctx, p.interval); err != nil {
			return ingest.Batch{}, err
		}
	}
	p.rest = false
	p.turn.Lock()
	q := ask{MaxEvents: p.cfg.MaxEvents, Acks: slices.Clone(p.acks), Errs: maps.Clone(p.errs)}
	p.turn.Unlock()
	// What was taken is told at once; only with nothing to tell there is time to wait.
	q.ReturnImmediately = !p.cfg.Wait || len(q.Acks)+len(q.Errs) > 0
	resp, err := p.client.Post(ctx, p.ref, nil, q)
	if err != nil {
		return ingest.Batch{}, err
	}
	var answer struct {
		Sets map[string]string `json:"sets"`
		More bool              `json:"moreAvailable"`
	}
	if err := resp.JSON(&answer); err != nil {
		return ingest.Batch{}, err
	}
	p.told(q)
	batch := ingest.Batch{}
	var taken []string
	for _, id := range slices.Sorted(maps.Keys(answer.Sets)) {
		t, err := p.verify(ctx, answer.Sets[id])
		refused, isRefusal := errors.AsType[*refusal](err)
		switch {
		case isRefusal:
			p.refused(ctx, id, refused)
		case err != nil:
			// None of it is acknowledged, so all of it comes again.
			p.count(resultKeysAway)
			return ingest.Batch{}, err
		case t.ID != id:
			p.refused(ctx, id, &refusal{Code: codeRequest, Description: "jti is another than the key of the set"})
		case p.durable.has(id):
			p.count(resultRepeated)
			p.ack(id)
		default:
			p.notice(ctx, t)
			batch.Records, taken = append(batch.Records, p.record(t)), append(taken, id)
		}
	}
	p.rest = len(answer.Sets) == 0 && !answer.More
	if p.rest {
		batch.Through = p.rt.Now()
	}
	batch.Durable = func(context.Context) {
		for _, id := range taken {
			p.durable.add(id)
			p.count(resultDurable)
		}
		p.ack(taken...)
	}
	return batch, nil
}

func (p *poller) refused(ctx context.Context, id string, r *refusal) {
	p.refuse(ctx, r)
	p.turn.Lock()
	defer p.turn.Unlock()
	p.errs[id] = r
}

func (p *poller) ack(ids ...string) {
	p.turn.Lock()
	defer p.turn.Unlock()
	p.acks = append(p.acks, ids...)
}

// told drops what a request that went through has told.
func (p *poller) told(q ask) {
	p.turn.Lock()
	defer p.turn.Unlock()
	p.acks = slices.Clone(p.acks[len(q.Acks):])
	for id := range q.Errs {
		delete(p.errs, id)
	}
}
