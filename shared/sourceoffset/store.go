package sourceoffset

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/riftline/riftline/shared/bucket"
)

// Bucket is what a Store needs of the state bucket. *bucket.Bucket is one.
type Bucket interface {
	// Read returns bucket.ErrAbsent only when the object's absence is proven.
	Read(ctx context.Context, name string) (bucket.Object, error)
	Stat(ctx context.Context, name string) (bucket.Object, error)
	// CompareAndSet writes until the outcome is known: bucket.ErrLost, bucket.ErrUnknown.
	CompareAndSet(ctx context.Context, name string, data []byte, o bucket.PutOptions, mine func(bucket.Object) bool) (int64, error)
	URL(name string) string
}

// Store is the source offset object of one source partition.
type Store struct {
	Bucket    Bucket
	Partition Partition
	// Topic and Kind are what the connector says now; an object that says otherwise is ErrForeign.
	Topic string
	Kind  Kind
}

// URL is the object's gs:// URL.
func (s Store) URL() string { return s.Bucket.URL(s.Partition.Object()) }

// Load reads the object. Generation 0 with the state of a source partition without history means that its absence is
// proven; every other failure is an error: ErrDamaged, ErrForeign, ErrNewer, or one of package bucket.
func (s Store) Load(ctx context.Context) (State, int64, error) {
	f, err := s.Look(ctx)
	if err == nil {
		err = f.Refused
	}
	if err != nil {
		return State{}, 0, err
	}
	return f.State, f.Generation, nil
}

// Found is an object as it lies in the bucket.
type Found struct {
	// State is that of a source partition without history when there is no object, and whatever could be read of one
	// that is refused.
	State State
	// Generation is 0 when there is no object. Data is its content.
	Generation int64
	Data       []byte
	// Refused says why Load does not take the object, and what a person can do.
	Refused error
}

// Look reads the object as Load does, and tells of one that Load refuses too, so that a person can do something about
// it.
func (s Store) Look(ctx context.Context) (Found, error) {
	o, err := s.Bucket.Read(ctx, s.Partition.Object())
	if errors.Is(err, bucket.ErrAbsent) {
		return Found{State: s.Empty()}, nil
	}
	if err != nil {
		return Found{}, fmt.Errorf("reading source offset object %s: %w", s.URL(), err)
	}
	f := Found{Generation: o.Generation, Data: o.Data}
	f.State, err = Decode(o.Data)
	if err == nil {
		err = s.owns(f.State)
	}
	switch {
	case errors.Is(err, ErrNewer):
		f.Refused = fmt.Errorf("reading source offset object %s: %w", s.URL(), err)
	case err != nil:
		f.Refused = fmt.Errorf("reading source offset object %s: %w; restore an earlier version of the object if there is one; else %s",
			s.URL(), err, s.Partition.WaysToForget())
	}
	return f, nil
}

// Empty is the state of the source partition without history.
func (s Store) Empty() State {
	return State{Partition: s.Partition, Topic: s.Topic, Kind: s.Kind, Base: NewBase(nil)}
}

// Generation asks for the object's present generation, 0 when it is proven to be gone.
func (s Store) Generation(ctx context.Context) (int64, error) {
	o, err := s.Bucket.Stat(ctx, s.Partition.Object())
	if errors.Is(err, bucket.ErrAbsent) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("looking at source offset object %s: %w", s.URL(), err)
	}
	return o.Generation, nil
}

func (s Store) owns(st State) error {
	switch {
	case !st.Partition.equal(s.Partition):
		return fmt.Errorf("%w: it is that of %s, not of %s", ErrForeign, st.Partition, s.Partition)
	case st.Topic != s.Topic:
		return fmt.Errorf("%w: it knows topic %s and the connector publishes to %s; give the connector another name, or its old topic", ErrForeign, st.Topic, s.Topic)
	case st.Kind != s.Kind:
		return fmt.Errorf("%w: it was made with riftline.dedupe=%s and the connector says %s; give the connector another name, or its old setting", ErrForeign, st.Kind, s.Kind)
	}
	return nil
}

// Write replaces the object at a generation and returns the new one. mine tells whether a state read back, after a
// write whose outcome is not known, is what this call wrote. bucket.ErrLost when another run was first,
// bucket.ErrUnknown when ctx ended with the outcome open.
func (s Store) Write(ctx context.Context, st State, generation int64, mine func(State) bool) (int64, error) {
	data, err := Encode(st)
	if err != nil {
		return 0, err
	}
	o := bucket.PutOptions{IfGeneration: generation, ContentType: "application/gzip"}
	next, err := s.Bucket.CompareAndSet(ctx, s.Partition.Object(), data, o, func(o bucket.Object) bool {
		found, err := Decode(o.Data)
		return err == nil && s.owns(found) == nil && mine(found)
	})
	if err != nil {
		return 0, fmt.Errorf("writing source offset object %s: %w", s.URL(), err)
	}
	return next, nil
}

// OwnIntent recognises the state that carries the intent of this id, and that nobody has claimed or stopped. An owner
// whose intent is claimed must take the write for lost, or it would publish what the claimant found unpublished.
func OwnIntent(id string) func(State) bool {
	return func(s State) bool {
		return s.Intent != nil && s.Intent.ID == id && s.Claim == nil && s.Stopped == ""
	}
}

// OwnClaim recognises the state that carries the claim of this id.
func OwnClaim(id string) func(State) bool {
	return func(s State) bool { return s.Claim != nil && s.Claim.ID == id && s.Stopped == "" }
}

// Settled recognises a state without intent and claim that ends with the transaction of this id.
func Settled(last string) func(State) bool {
	return func(s State) bool { return s.Intent == nil && s.Claim == nil && s.Last == last && s.Stopped == "" }
}

// StoppedFor recognises a state that was stopped for this reason.
func StoppedFor(reason string) func(State) bool {
	return func(s State) bool { return s.Stopped == reason }
}

// Same recognises exactly this state.
func Same(want State) func(State) bool {
	body := encodeState(want)
	return func(s State) bool { return bytes.Equal(encodeState(s), body) }
}
