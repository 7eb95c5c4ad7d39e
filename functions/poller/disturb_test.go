package poller

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"cloud.google.com/go/storage"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/functions/environment"
	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/kafka"
	"github.com/riftline/riftline/shared/poll"
)

// hook is told of each call that a poll makes to the bucket and to Kafka, before it is made and after it was carried
// out. An error is what the call returns: before, it is not made; after, its answer is lost.
type hook func(call string, after bool) error

// do makes a call between its two points.
func (h hook) do(call string, f func() error) error {
	if err := h(call, false); err != nil {
		return err
	}
	err := f()
	if lost := h(call, true); lost != nil {
		return lost
	}
	return err
}

// errDead is what every call of a run returns that is taken to have died: nothing that it does reaches anybody.
var errDead = errors.New("the run is dead")

// dieAt ends a run at the n-th point that it passes, and tells whether it came that far.
func dieAt(n int) (h hook, died *atomic.Bool) {
	died = new(atomic.Bool)
	var passed atomic.Int64
	return func(string, bool) error {
		if passed.Add(1) >= int64(n) {
			died.Store(true)
			return errDead
		}
		return nil
	}, died
}

// at does something once, at a point of a run.
func at(call string, after bool, do func() error) hook {
	var once sync.Once
	return func(c string, a bool) (err error) {
		if c == call && a == after {
			once.Do(func() { err = do() })
		}
		return err
	}
}

type hookedOffsets struct {
	poll.Offsets
	h hook
}

func (o hookedOffsets) Read(ctx context.Context, name string) (out bucket.Object, err error) {
	err = o.h.do("read", func() (e error) { out, e = o.Offsets.Read(ctx, name); return e })
	return out, err
}

func (o hookedOffsets) Stat(ctx context.Context, name string) (out bucket.Object, err error) {
	err = o.h.do("stat", func() (e error) { out, e = o.Offsets.Stat(ctx, name); return e })
	return out, err
}

func (o hookedOffsets) CompareAndSet(ctx context.Context, name string, data []byte, p bucket.PutOptions, mine func(bucket.Object) bool) (gen int64, err error) {
	err = o.h.do("write", func() (e error) { gen, e = o.Offsets.CompareAndSet(ctx, name, data, p, mine); return e })
	return gen, err
}

type hookedProducer struct {
	poll.Producer
	h hook
}

func (p hookedProducer) Topic(ctx context.Context, name string) (t kafka.Topic, err error) {
	err = p.h.do("topic", func() (e error) { t, e = p.Producer.Topic(ctx, name); return e })
	return t, err
}

func (p hookedProducer) Fence(ctx context.Context) error {
	return p.h.do("fence", func() error { return p.Producer.Fence(ctx) })
}

func (p hookedProducer) Marker(ctx context.Context, topic string) (m kafka.Marker, ok bool, err error) {
	err = p.h.do("marker", func() (e error) { m, ok, e = p.Producer.Marker(ctx, topic); return e })
	return m, ok, err
}

func (p hookedProducer) Publish(ctx context.Context, records []*kgo.Record, topic kafka.Topic, m kafka.Marker, until time.Time) error {
	return p.h.do("publish", func() error { return p.Producer.Publish(ctx, records, topic, m, until) })
}

func (p hookedProducer) Transactions(ctx context.Context) error {
	return p.h.do("transactions", func() error { return p.Producer.Transactions(ctx) })
}

func (p hookedProducer) Lease(ctx context.Context, topic kafka.Topic) (watermarks []int64, err error) {
	err = p.h.do("lease", func() (e error) { watermarks, e = p.Producer.Lease(ctx, topic); return e })
	return watermarks, err
}

func (p hookedProducer) Send(ctx context.Context, records []*kgo.Record, until time.Time) (d kafka.Delivery, err error) {
	err = p.h.do("send", func() (e error) { d, e = p.Producer.Send(ctx, records, until); return e })
	if errors.Is(err, errDead) {
		d.Final = false
	}
	return d, err
}

func (p hookedProducer) ReadSince(ctx context.Context, topic string, watermarks []int64, id string, each func(*kgo.Record)) (s kafka.Since, err error) {
	err = p.h.do("since", func() (e error) { s, e = p.Producer.ReadSince(ctx, topic, watermarks, id, each); return e })
	return s, err
}

// soon is how far the clock of the runs is ahead that come when the time of a run that died is over.
const soon = 10 * time.Minute

// later is a poller whose clock is ahead, inside this process.
func (w *world) later(ahead time.Duration, more ...string) *service {
	return w.disturbed(nil, func(d *poll.Deps) { d.Now = func() time.Time { return time.Now().Add(ahead) } }, more...)
}

// disturbed is a poller inside this process whose calls pass a hook.
func (w *world) disturbed(h hook, change func(*poll.Deps), more ...string) *service {
	w.t.Helper()
	e, err := environment.Read(w.environ(more...))
	if err != nil {
		w.t.Fatal(err)
	}
	e.RootCAs = w.riot.RootCAs()
	e.NewStorage = func(ctx context.Context) (*storage.Client, error) {
		return bucket.NewClient(ctx, bucket.At(w.gcs.URL())...)
	}
	if h != nil {
		b, err := e.State(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		e.PollDeps.Offsets = hookedOffsets{b, h}
		e.PollDeps.NewProducer = func(k connector.Kafka, id string, log *slog.Logger) (poll.Producer, error) {
			p, err := kafka.NewProducer(k, id, log)
			if err != nil {
				return nil, err
			}
			return hookedProducer{p, h}, nil
		}
	}
	if change != nil {
		change(&e.PollDeps)
	}
	w.t.Cleanup(func() { _ = e.Close() })
	return newService(w.t.Context(), e)
}

// lossy is a listener for the broker whose connections can be told to break instead of carrying an answer.
type lossy struct{ deaf atomic.Bool }

func (l *lossy) option() kfake.Opt {
	return kfake.ListenFn(func(network, address string) (net.Listener, error) {
		in, err := net.Listen(network, address)
		if err != nil {
			return nil, err
		}
		return lossyListener{in, l}, nil
	})
}

type lossyListener struct {
	net.Listener
	l *lossy
}

func (l lossyListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return lossyConn{c, l.l}, nil
}

type lossyConn struct {
	net.Conn
	l *lossy
}

func (c lossyConn) Write(b []byte) (int, error) {
	if c.l.deaf.Load() {
		_ = c.Close()
		return 0, net.ErrClosed
	}
	return c.Conn.Write(b)
}
