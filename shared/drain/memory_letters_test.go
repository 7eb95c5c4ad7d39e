package drain

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestDeadLettersAreChargedWhenTheyAreHeld: with their headers, also where no record comes that is archived.
func TestDeadLettersAreChargedWhenTheyAreHeld(t *testing.T) {
	t.Parallel()
	const each, letters = 100 << 10, 20
	for name, r := range map[string]kgo.Record{
		"large values":  {Value: bytes.Repeat([]byte("bad: "), each/5)},
		"large headers": {Value: []byte("bad"), Headers: []kgo.RecordHeader{{Key: "h", Value: make([]byte, each)}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.tolerant()
			w.sink.MemoryMax = 8 << 20
			for range letters {
				own := r
				own.Topic = topicName
				w.send(&own)
			}
			_, in := w.ahead(w.ctx, 0)
			defer in.stop()
			b, err := in.next()
			if err != nil || len(b.left.letters) == 0 {
				t.Fatal(b, err)
			}
			if n := len(b.left.letters); b.charged < int64(n)*each {
				t.Errorf("%d bytes are charged for %d letters", b.charged, n)
			}
			b.cancel()
		})
	}
}

// pieces are dead letters that say how many bytes came at a time.
type pieces struct {
	DeadLetters
	largest int64
	refuse  bool
}

func (d *pieces) Produce(ctx context.Context, records []*kgo.Record) error {
	var n int64
	for _, r := range records {
		n += int64(len(r.Value))
	}
	d.largest = max(d.largest, n)
	if d.refuse {
		return errors.New("refused")
	}
	return d.DeadLetters.Produce(ctx, records)
}

// TestDeadLettersAreSentAgainInPieces: a batch of which each record is one may be larger than the memory.
func TestDeadLettersAreSentAgainInPieces(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.tolerant()
	const n = 100
	var records []*kgo.Record
	for i := range n {
		records = append(records, &kgo.Record{Topic: topicName, Key: []byte(strconv.Itoa(i)), Value: bytes.Repeat([]byte("bad: "), 10_000),
			Headers: []kgo.RecordHeader{{Key: "own", Value: []byte(strconv.Itoa(i))}}})
	}
	w.together(records)
	d := w.deps()
	letters := &pieces{DeadLetters: d.DeadLetters, refuse: true}
	d.DeadLetters = letters
	w.drainWith(w.roomy(), d, Failed)
	if letters.largest != n*50_000 {
		t.Fatalf("%d bytes at a time where there is memory", letters.largest)
	}
	d = w.deps()
	letters = &pieces{DeadLetters: d.DeadLetters}
	d.DeadLetters = letters
	if sum := w.drainWith(w.tight(), d, Drained); sum.DeadLetters != n {
		t.Fatalf("%+v", sum)
	}
	if letters.largest == 0 || letters.largest > leastHeld {
		t.Errorf("%d bytes at a time", letters.largest)
	}
	all := w.letters()
	if len(all) != n {
		t.Fatalf("%d letters", len(all))
	}
	for i, r := range all {
		if string(r.Key) != strconv.Itoa(i) || headers(r)["own"] != strconv.Itoa(i) || !bytes.Equal(r.Value, records[i].Value) {
			t.Fatalf("letter %d is %s", i, r.Key)
		}
	}
}
