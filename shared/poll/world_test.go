package poll

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/httpsource"
	"github.com/riftline/riftline/shared/kafka"
	"github.com/riftline/riftline/shared/poll/model"
	"github.com/riftline/riftline/shared/record"
	"github.com/riftline/riftline/shared/schema"
	"github.com/riftline/riftline/shared/sourceoffset"
)

// world is everything around a poll, in memory and strict: a broker that fences as a real one does, a bucket with
// generations, an API whose answer changes. Each call passes a point, at which a run can be killed, made to fail, or
// made to wait while others run.
type world struct {
	t  *testing.T
	mu sync.Mutex

	now time.Time

	// The API.
	answer []string
	served [][]string

	// The bucket.
	object     []byte
	generation int64
	deleted    int64 // the generation of an object that was removed

	// The broker.
	topic   kafka.Topic
	missing bool
	// automatic is auto.create.topics.enable.
	automatic bool
	epoch     int
	marker    kafka.Marker
	marked    bool
	log       []published
	raw       []*kgo.Record
	// schema is what the registry holds under id 1.
	schema string
	// forgotten is true when the topic no longer reaches back to its beginning.
	forgotten bool
	// unsearchable is true when a search through the topic tells nothing.
	unsearchable bool
	// long is true when a search through the topic takes more than the time that there is.
	long bool
	// byHand is true once a person changed the offsets, which the model knows nothing of.
	byHand bool
	// requested is exactly.once.support=requested. refusing is true while the brokers refuse transactions, barring while
	// they refuse idempotence too.
	requested, refusing, barring bool
	// gone is what a reader of the topic is told of records that are gone.
	gone string
	// late is a commit that was asked for and that the broker has not carried out yet.
	late func()

	// counts of what was asked, by name of the call.
	counts map[string]int
	// events are what the runs did to bucket, API and broker, in order, for the model of the protocol.
	events []model.Event
	// unreplayed leaves the model out of check.
	unreplayed bool
}

type published struct{ key, value, intent string }

func newWorld(t *testing.T) *world {
	return &world{
		t: t, now: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC), counts: map[string]int{},
		topic: kafka.Topic{Name: "ladder", ID: [16]byte{1}, Partitions: 1},
	}
}

// again returns a maker of worlds that are all as f makes them, made once.
func again(f func() *world) func() *world {
	made := sync.OnceValue(f)
	return func() *world {
		w := made()
		return &world{
			t: w.t, now: w.now, answer: slices.Clone(w.answer), served: slices.Clone(w.served), object: slices.Clone(w.object),
			generation: w.generation, deleted: w.deleted, topic: w.topic, missing: w.missing, automatic: w.automatic, epoch: w.epoch,
			marker: w.marker, marked: w.marked, log: slices.Clone(w.log), raw: slices.Clone(w.raw), schema: w.schema, requested: w.requested, refusing: w.refusing, barring: w.barring, gone: w.gone, unreplayed: w.unreplayed, forgotten: w.forgotten, unsearchable: w.unsearchable, long: w.long, counts: map[string]int{},
			events: slices.Clone(w.events),
		}
	}
}

// point is what a hook is told: the run, the call, and whether it is about to be carried out or was.
type point struct {
	run   string
	call  string
	after bool
	// n counts the points of the run, from 1.
	n int
}

func (p point) String() string {
	if p.after {
		return fmt.Sprintf("%s#%d after %s", p.run, p.n, p.call)
	}
	return fmt.Sprintf("%s#%d before %s", p.run, p.n, p.call)
}

// hook decides what happens at a point: nil goes on, errKilled ends the run's process there, any other error is what
// the call returns. An error after a call means that it was carried out and its answer lost.
type hook func(point) error

var errKilled = errors.New("killed")

// process is one run's view of the world.
type process struct {
	w    *world
	name string
	hook hook
	n    int
	dead bool
}

func (p *process) at(call string, after bool) error {
	p.n++
	if p.dead {
		panic(errKilled)
	}
	if p.hook == nil {
		return nil
	}
	err := p.hook(point{p.name, call, after, p.n})
	if errors.Is(err, errKilled) {
		p.dead = true
		panic(errKilled)
	}
	return err
}

// do carries a call out between its two points.
func (p *process) do(call string, f func() error) error {
	if err := p.at(call, false); err != nil {
		p.w.mu.Lock()
		p.note(model.Call(call), model.Lost)
		p.w.mu.Unlock()
		return err
	}
	p.w.mu.Lock()
	p.w.counts[call]++
	err := f()
	n := len(p.w.events)
	p.note(model.Call(call), model.Answered)
	p.w.mu.Unlock()
	if lost := p.at(call, true); lost != nil {
		p.w.mu.Lock()
		if n < len(p.w.events) {
			p.w.events[n].Fate = model.AnswerLost
		}
		p.w.mu.Unlock()
		return lost
	}
	return err
}

// note writes down what the run did, for the model. The world is locked.
func (p *process) note(call model.Call, fate model.Fate) {
	switch call {
	case "topic", "schema", "create", "autocreate": // nothing of the protocol
		return
	}
	p.w.events = append(p.w.events, model.Event{Run: p.name, Call: call, Fate: fate})
}

// run polls once. killed is true when the hook ended the process.
func (w *world) run(name string, h hook, change ...func(*connector.Source, *Deps)) (s Summary, killed bool, err error) {
	p := &process{w: w, name: name, hook: h}
	defer func() {
		if v := recover(); v != nil {
			if e, ok := v.(error); !ok || !errors.Is(e, errKilled) {
				panic(v)
			}
			killed = true
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		p.note(map[bool]model.Call{true: model.Kill, false: model.End}[killed], model.Answered)
	}()
	src, deps := w.source(), p.deps()
	for _, f := range change {
		f(&src, &deps)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err = Run(ctx, src, deps)
	return s, false, err
}

// disturb is a run of which only what it leaves behind matters.
func (w *world) disturb(name string, h hook, change ...func(*connector.Source, *Deps)) {
	_, _, _ = w.run(name, h, change...)
}

func (w *world) source() connector.Source {
	return connector.Source{
		Name: "ladder", Topic: "ladder", Key: []string{"/k"}, KeyFallback: true, ExactlyOnceRequired: !w.requested,
		Request:      connector.Request{URL: "https://api.example.com/ladder"},
		Dedupe:       connector.Dedupe{Mode: connector.Snapshot, Keep: 30 * 24 * time.Hour},
		KeyConverter: connector.StringConverter, ValueConverter: connector.AvroConverter,
		ValueFields: "auto", MarkerAge: 12 * time.Hour, Kafka: connector.Kafka{Brokers: []string{"broker:9092"}},
	}
}

func (p *process) deps() Deps {
	return Deps{
		Offsets:     &memoryBucket{p},
		NewFetcher:  func(connector.Source) (Fetcher, error) { return &api{p}, nil },
		NewRegistry: func(connector.Registry) (Registry, error) { return &registry{p}, nil },
		NewProducer: func(connector.Kafka, string, *slog.Logger) (Producer, error) { return &client{p: p}, nil },
		Now: func() time.Time {
			p.w.mu.Lock()
			defer p.w.mu.Unlock()
			return p.w.now
		},
	}
}

// pass lets time go by.
func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// serve sets what the API answers from now on: entries written as "key=value".
func (w *world) serve(entries string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = strings.Fields(entries)
}

type api struct{ p *process }

func (a *api) Close() {}

func (a *api) Fetch(context.Context) (out httpsource.Answer, err error) {
	err = a.p.do("fetch", func() error {
		a.p.w.served = append(a.p.w.served, slices.Clone(a.p.w.answer))
		for _, e := range a.p.w.answer {
			key, value, _ := strings.Cut(e, "=")
			v, err := record.Parse(fmt.Appendf(nil, `{"k":%q,"v":%q}`, key, value))
			if err != nil {
				return err
			}
			out.Entries = append(out.Entries, v)
		}
		return nil
	})
	if err != nil {
		return httpsource.Answer{}, err
	}
	return out, nil
}

type registry struct{ p *process }

func (r *registry) Ensure(_ context.Context, _ string, inferred *schema.Schema) (out schema.Registered, err error) {
	err = r.p.do("schema", func() error {
		r.p.w.schema = inferred.Text()
		out = schema.Registered{ID: 1, Schema: inferred}
		return nil
	})
	return out, err
}

func (r *registry) ByID(context.Context, int) (text string, err error) {
	err = r.p.do("byid", func() error { text = r.p.w.schema; return nil })
	return text, err
}

func (r *registry) EnsureStruct(context.Context, string, string) (schema.Struct, error) {
	return schema.Struct{ID: 2}, nil
}

// memoryBucket keeps the one object. It knows generations and tells the outcomes apart as package bucket does.
type memoryBucket struct{ p *process }

func (b *memoryBucket) URL(name string) string { return "gs://state/" + name }

func (b *memoryBucket) read() (bucket.Object, error) {
	if b.p.w.generation == 0 {
		return bucket.Object{}, bucket.ErrAbsent
	}
	return bucket.Object{Data: slices.Clone(b.p.w.object), Generation: b.p.w.generation}, nil
}

func (b *memoryBucket) Read(_ context.Context, _ string) (o bucket.Object, err error) {
	err = b.p.do("read", func() (e error) { o, e = b.read(); return e })
	return o, err
}

func (b *memoryBucket) Stat(_ context.Context, _ string) (o bucket.Object, err error) {
	err = b.p.do("stat", func() (e error) { o, e = b.read(); return e })
	return o, err
}

func (b *memoryBucket) put(data []byte, generation int64) (int64, error) {
	w := b.p.w
	if generation != w.generation {
		return 0, bucket.ErrPrecondition
	}
	w.object = slices.Clone(data)
	w.generation = max(w.generation, w.deleted) + 1
	return w.generation, nil
}

// CompareAndSet retries what has an unknown outcome, as the real one does.
func (b *memoryBucket) CompareAndSet(_ context.Context, _ string, data []byte, o bucket.PutOptions, mine func(bucket.Object) bool) (gen int64, err error) {
	for range 3 {
		err = b.p.do("write", func() (e error) { gen, e = b.put(data, o.IfGeneration); return e })
		if err == nil {
			return gen, nil
		}
		var found bucket.Object
		reread := b.p.do("reread", func() (e error) { found, e = b.read(); return e })
		switch {
		case reread != nil && !errors.Is(reread, bucket.ErrAbsent):
			continue
		case reread == nil && mine(found):
			return found.Generation, nil
		case found.Generation != o.IfGeneration:
			return 0, bucket.ErrLost
		}
	}
	return 0, bucket.ErrUnknown
}

// client is a producer. It holds an epoch as an object of its own, so that a fenced one stays fenced.
type client struct {
	p      *process
	epoch  int
	broken bool
}

func (c *client) Close() {}

func (c *client) Topic(_ context.Context, name string) (t kafka.Topic, err error) {
	err = c.p.do("topic", func() error {
		if c.p.w.missing {
			return kafka.ErrTopicMissing
		}
		t = c.p.w.topic
		t.Name = name
		return nil
	})
	return t, err
}

func (c *client) CreateTopic(_ context.Context, name string, _ connector.TopicCreation) (t kafka.Topic, err error) {
	err = c.p.do("create", func() error {
		c.p.w.missing = false
		t = c.p.w.topic
		t.Name = name
		return nil
	})
	return t, err
}

func (c *client) AutoCreateTopic(_ context.Context, name string) (t kafka.Topic, err error) {
	err = c.p.do("autocreate", func() error {
		if !c.p.w.automatic {
			return fmt.Errorf("%w: %s; create it with: kafka-topics.sh --create --topic %s", kafka.ErrTopicMissing, name, name)
		}
		c.p.w.missing = false
		t = c.p.w.topic
		return nil
	})
	return t, err
}

func (c *client) Fence(context.Context) error {
	return c.p.do("fence", func() error {
		w := c.p.w
		if w.refusing {
			return kafka.ErrTransactionsRefused
		}
		// A commit that the broker was asked for is carried out, or is not, before the new epoch is given out.
		if w.late != nil {
			w.late()
			w.late = nil
		}
		w.epoch++
		c.epoch = w.epoch
		return nil
	})
}

func (c *client) Marker(context.Context, string) (m kafka.Marker, ok bool, err error) {
	err = c.p.do("marker", func() error { m, ok = c.p.w.marker, c.p.w.marked; return nil })
	return m, ok, err
}

// Publish has three points of its own: before anything is sent, before the commit is asked for, and after it.
func (c *client) Publish(_ context.Context, records []*kgo.Record, _ kafka.Topic, m kafka.Marker, _ time.Time) error {
	if c.broken {
		c.p.w.t.Error("a client that saw an error was used again")
	}
	c.broken = true
	w := c.p.w
	notCommitted := func(err error) error { return fmt.Errorf("%w: %w", kafka.ErrNotCommitted, err) }
	if err := c.p.do("produce", func() error {
		if c.epoch != w.epoch {
			return errors.New("fenced")
		}
		return nil
	}); err != nil {
		return notCommitted(err)
	}
	if err := c.p.do("commit", func() error {
		if c.epoch != w.epoch {
			return errors.New("fenced")
		}
		w.commit(records, m)
		return nil
	}); err != nil {
		return fmt.Errorf("%w: %w", kafka.ErrUnknownOutcome, err)
	}
	c.broken = false
	return nil
}

func (w *world) commit(records []*kgo.Record, m kafka.Marker) {
	for _, r := range records {
		value := tombstone
		_, body, ok := schema.ParseHeader(r.Value)
		if r.Value == nil {
			ok = true
		} else if ok {
			value = valueOf(body)
		}
		if !ok || len(r.Headers) != 1 || r.Headers[0].Key != kafka.HeaderID {
			w.t.Errorf("record %q has no schema id or no riftline-id", r.Key)
			continue
		}
		if id := string(r.Headers[0].Value); id != m.ID {
			w.t.Errorf("record %q has id %s in a transaction of %s", r.Key, id, m.ID)
		}
		r.Offset = int64(len(w.log))
		w.log = append(w.log, published{string(r.Key), value, m.ID})
		w.raw = append(w.raw, r)
	}
	if m.Commits != w.marker.Commits+1 && !w.byHand {
		w.t.Errorf("transaction %d follows %d", m.Commits, w.marker.Commits)
	}
	w.marker, w.marked = m, true
}

// tombstone stands for a record without a value.
const tombstone = "(none)"

// valueOf reads the second field of the Avro body of {"k":…,"v":…}.
func valueOf(body []byte) string {
	next := func() string {
		n := int(body[0]) / 2
		s := string(body[1 : 1+n])
		body = body[1+n:]
		return s
	}
	next()
	return next()
}

func (c *client) FindIntent(_ context.Context, _, id string, _ time.Time) (found kafka.Found, err error) {
	err = c.p.do("find", func() error {
		if c.p.w.long {
			return kafka.ErrSearchUnfinished
		}
		if !c.p.w.forgotten {
			found = kafka.NotCommitted
		}
		if slices.ContainsFunc(c.p.w.log, func(p published) bool { return p.intent == id }) {
			found = kafka.Committed
		}
		if c.p.w.unsearchable {
			found = kafka.Unknown
		}
		return nil
	})
	return found, err
}

// held returns the values that the topic holds of each key, in order.
func (w *world) held() map[string][]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := map[string][]string{}
	for _, p := range w.log {
		m[p.key] = append(m[p.key], p.value)
	}
	return m
}

// state reads the source offset object.
func (w *world) state() sourceoffset.State {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	s, err := sourceoffset.Decode(w.object)
	if err != nil {
		w.t.Fatalf("the object cannot be read: %v", err)
	}
	return s
}

// replace writes a changed source offset object, as a person with other tools might.
func (w *world) replace(change func(*sourceoffset.State)) {
	w.t.Helper()
	s := w.state()
	change(&s)
	data, err := sourceoffset.Encode(s)
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.object = data
	w.generation++
}

// accepted says which event of the runs the model of the protocol cannot follow. Empty when it follows them all.
func (w *world) accepted() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byHand {
		return "" // the model knows polls only
	}
	n := model.Accepts(model.Options{Genesis: true}, w.events)
	if n == len(w.events) {
		return ""
	}
	return fmt.Sprintf("the model does not know how event %d of %v can happen", n+1, w.events[:n+1])
}

// check says what is wrong with the topic after a last undisturbed poll: for each key no two equal neighbours, the
// published values in the order in which they were served, and the last one that of the last answer. Empty when all is
// well.
func (w *world) check() string {
	held := w.held()
	var wrong []string
	if !w.unreplayed && !w.byHand {
		if unknown := w.accepted(); unknown != "" {
			wrong = append(wrong, unknown)
		}
	}
	for key, values := range held {
		for i := 1; i < len(values); i++ {
			if values[i] == values[i-1] {
				wrong = append(wrong, fmt.Sprintf("%s: %s twice in %v", key, values[i], values))
			}
		}
		left := values
		for _, answer := range w.served {
			if len(left) > 0 && slices.Contains(answer, key+"="+left[0]) {
				left = left[1:]
			}
		}
		if len(left) > 0 {
			wrong = append(wrong, fmt.Sprintf("%s: %v was not served in this order", key, values))
		}
	}
	last := map[string]string{}
	for _, e := range w.answer {
		key, value, _ := strings.Cut(e, "=")
		last[key] = value
	}
	for key, value := range last {
		if values := held[key]; len(values) == 0 || values[len(values)-1] != value {
			wrong = append(wrong, fmt.Sprintf("%s: the last value is %s and the topic holds %v", key, value, values))
		}
	}
	slices.Sort(wrong)
	return strings.Join(wrong, "; ")
}
