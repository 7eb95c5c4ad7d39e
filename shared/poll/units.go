package poll

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/logging"
	"github.com/riftline/riftline/shared/sourceoffset"
)

// Units returns the source partitions of a connector: s with each combination of its request variables. What a trigger
// gives wins over the connector file. An error is [Refused]: a variable that no template uses, one without a value, or
// values that the request cannot be made with.
func Units(s connector.Source, trigger map[string]string) ([]connector.Source, error) {
	matrix := slices.Clone(s.Matrix)
	for _, name := range slices.Sorted(maps.Keys(trigger)) {
		if !slices.ContainsFunc(s.Request.Variables, func(v connector.UsedVariable) bool { return v.Name == name }) {
			return nil, failed(Refused, "connector %s has no template that uses ${var.%.64s}", s.Name, name)
		}
		given := connector.Variable{Name: name, Values: []string{trigger[name]}}
		if at := slices.IndexFunc(matrix, func(v connector.Variable) bool { return v.Name == name }); at >= 0 {
			matrix[at] = given
		} else {
			matrix = append(matrix, given)
		}
	}
	var units []connector.Source
	for _, values := range connector.Combinations(matrix) {
		if err := s.Request.Check(values); err != nil {
			return nil, failed(Refused, "connector %s: %w", s.Name, err)
		}
		unit := s
		if unit.Variables = values; len(values) == 0 {
			unit.Variables = nil
		}
		units = append(units, unit)
	}
	return units, nil
}

// RunAll polls all source partitions of a connector, one after the other. Each is published by transactions of its own,
// so what is done is done whatever becomes of the others.
//
// A unit whose answer or state is at fault does not keep the others from being polled; one that the API asks to wait for
// keeps those of the same host. What would befall the others too, Kafka or the bucket being down or the API refusing the
// credentials, ends the run, and so does a deadline that leaves too little time. The next run begins where this one
// ended.
func RunAll(ctx context.Context, s connector.Source, trigger map[string]string, d Deps) (Summary, error) {
	units, err := Units(s, trigger)
	if err != nil {
		return Summary{}, err
	}
	if len(units) == 1 {
		return Run(ctx, units[0], d)
	}
	// Credentials that one unit read afresh are those of the units behind it.
	var fresh *connector.Source
	if refresh := d.Refresh; refresh != nil {
		d.Refresh = func(ctx context.Context) (connector.Source, bool, error) {
			s, changed, err := refresh(ctx)
			if err == nil && changed {
				fresh = &s
			}
			return s, changed, err
		}
	}
	c := crawl{
		units: units, log: logging.From(ctx).With(slog.String("connector", s.Name)),
		poll: func(ctx context.Context, s connector.Source) (Summary, error) {
			if fresh != nil {
				s.Request = fresh.Request
				s.Client = fresh.Client
			}
			return Run(ctx, s, d)
		},
		now: time.Now, clock: d.withDefaults().Now,
		place: place{bucket: d.Offsets, connector: s.Name},
	}
	return c.run(ctx, Summary{Connector: s.Name, Variables: trigger, Topic: s.Topic, ExactlyOnce: true})
}

// crawl is one run over several units.
type crawl struct {
	units []connector.Source
	log   *slog.Logger
	poll  func(context.Context, connector.Source) (Summary, error)
	place place
	// now is real time, clock is the polls'.
	now, clock func() time.Time

	sum Summary
	// next is the unit with which the next run begins, empty for the first one.
	next string
	// longest is how long the slowest unit took.
	longest time.Duration
	waiting map[string]bool
	errs    []error
}

func (c *crawl) run(ctx context.Context, sum Summary) (Summary, error) {
	began := c.now()
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = began.Add(defaultDeadline)
	}
	c.sum, c.waiting = sum, map[string]bool{}
	first := c.place.load(ctx, c.log)
	start := max(0, slices.IndexFunc(c.units, func(s connector.Source) bool { return unitOf(s).Hash() == first }))
	c.units = slices.Concat(c.units[start:], c.units[:start])
	for i, unit := range c.units {
		if c.waiting[unitHost(unit)] {
			c.leave(unit)
			continue
		}
		if ctx.Err() != nil || !c.enough(deadline.Sub(c.now()), deadline.Sub(began)) {
			c.leave(c.units[i:]...)
			break
		}
		if !c.one(ctx, i) {
			c.leave(c.units[i+1:]...)
			break
		}
	}
	c.place.save(ctx, c.log, c.next)
	return c.finish(c.now().Sub(began))
}

// enough reports whether a unit can be begun: as much time as the slowest one took must be left, and what a publication
// needs.
func (c *crawl) enough(left, total time.Duration) bool {
	return left >= max(c.longest, min(publishMargin, total/6))
}

// leave leaves units to the next run, which begins with the first that was left or failed in a way that may pass.
func (c *crawl) leave(units ...connector.Source) {
	c.sum.UnitsLeft += len(units)
	if len(units) > 0 {
		c.beginWith(units[0])
	}
}

func (c *crawl) beginWith(unit connector.Source) {
	if c.next == "" {
		c.next = unitOf(unit).Hash()
	}
}

// one polls one unit and reports whether the run goes on.
func (c *crawl) one(ctx context.Context, i int) bool {
	unit, began := c.units[i], c.now()
	sum, err := c.poll(ctx, unit)
	c.longest = max(c.longest, c.now().Sub(began))
	c.add(sum)
	if err != nil {
		c.errs = append(c.errs, fmt.Errorf("%s: %w", describeUnit(unit), err))
	}
	goesOn := true
	switch sum.Outcome {
	case Deferred:
		c.waiting[unitHost(unit)] = true
	case Unavailable, Unauthorized:
		goesOn = false
	case Upstream, Unknown:
	default:
		return true
	}
	// A unit with which a run began has had its turn: if it failed again, the others come first the next time.
	if i > 0 {
		c.beginWith(unit)
	} else if !goesOn && len(c.units) > 1 {
		c.beginWith(c.units[1])
	}
	return goesOn
}

func (c *crawl) add(u Summary) {
	s := &c.sum
	s.Units = append(s.Units, u)
	s.Fetched += u.Fetched
	s.New += u.New
	s.Changed += u.Changed
	s.Unchanged += u.Unchanged
	s.Left += u.Left
	s.Published += u.Published
	s.Tombstones += u.Tombstones
	s.Keyless += u.Keyless
	s.Repeated += u.Repeated
	s.OnlyNewFields += u.OnlyNewFields
	s.Bytes += u.Bytes
	s.Requests += u.Requests
	s.Transactions += u.Transactions
	s.ExactlyOnce = s.ExactlyOnce && u.ExactlyOnce
	if s.Run == "" {
		s.Run = u.Run
	}
	if !u.RetryAfter.IsZero() && (s.RetryAfter.IsZero() || u.RetryAfter.Before(s.RetryAfter)) {
		s.RetryAfter = u.RetryAfter
	}
	for p, o := range u.FirstOffsets {
		if s.FirstOffsets == nil {
			s.FirstOffsets, s.LastOffsets = map[int32]int64{}, map[int32]int64{}
		}
		if first, ok := s.FirstOffsets[p]; !ok || o < first {
			s.FirstOffsets[p] = o
		}
		s.LastOffsets[p] = max(s.LastOffsets[p], u.LastOffsets[p])
	}
}

// gravest orders the outcomes of units by what the trigger must be told first: what sending it again repairs, then what
// a person must see, then what is only early or good.
var gravest = []Outcome{Unknown, Unavailable, Upstream, Stopped, SchemaRefused, Refused, Unauthorized, Deferred, Published, AnotherRun, NothingNew}

func (c *crawl) finish(took time.Duration) (Summary, error) {
	s := &c.sum
	s.Duration, s.DurationMS = took, took.Milliseconds()
	s.Outcome = NothingNew
	for _, o := range gravest {
		if slices.ContainsFunc(s.Units, func(u Summary) bool { return u.Outcome == o }) {
			s.Outcome = o
			break
		}
	}
	if s.UnitsLeft > 0 {
		c.errs = append(c.errs, fmt.Errorf("%d of %d source partitions are left to the next trigger", s.UnitsLeft, len(c.units)))
		if !s.Outcome.Failed() {
			s.Outcome, s.RetryAfter = Deferred, c.clock()
		}
	}
	if !s.Outcome.Failed() {
		return *s, nil
	}
	err := fmt.Errorf("polling %s: %w", s.Connector, errors.Join(c.errs...))
	s.Error = strings.ReplaceAll(err.Error(), "\n", "; ")
	return *s, err
}

func unitOf(s connector.Source) sourceoffset.Partition {
	return sourceoffset.Partition{Connector: s.Name, Variables: s.Variables}
}

func describeUnit(s connector.Source) string {
	words := make([]string, 0, len(s.Variables))
	for _, name := range slices.Sorted(maps.Keys(s.Variables)) {
		words = append(words, name+"="+s.Variables[name])
	}
	return strings.Join(words, " ")
}

// unitHost is the host that a unit asks, as far as it is known without its offset.
func unitHost(s connector.Source) string { return s.Request.HostWith(s.Variables) }

// place is where a run over several units ended: an object beside the source offset objects. It decides the order of
// units and nothing else, so whatever goes wrong with it is no failure.
type place struct {
	bucket    Offsets
	connector string

	next       string
	generation int64
	usable     bool
}

func (p *place) name() string { return "poll/" + p.connector + "/units.json" }

type placeObject struct {
	Next string `json:"next"`
}

func (p *place) load(ctx context.Context, log *slog.Logger) string {
	o, err := p.bucket.Read(ctx, p.name())
	switch {
	case errors.Is(err, bucket.ErrAbsent):
		p.usable = true
		return ""
	case err != nil:
		log.InfoContext(ctx, "where the last run ended is not known; beginning with the first source partition", slog.Any("error", err))
		return ""
	}
	p.usable, p.generation = true, o.Generation
	var content placeObject
	if json.Unmarshal(o.Data, &content) == nil {
		p.next = content.Next
	}
	return p.next
}

// save notes where the next run is to begin, if that is another place.
func (p *place) save(ctx context.Context, log *slog.Logger, next string) {
	if !p.usable || next == p.next {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	data, err := json.Marshal(placeObject{Next: next})
	if err == nil {
		_, err = p.bucket.CompareAndSet(ctx, p.name(), data, bucket.PutOptions{IfGeneration: p.generation, ContentType: "application/json"},
			func(o bucket.Object) bool { return string(o.Data) == string(data) })
	}
	if err != nil {
		log.InfoContext(ctx, "noting where the next run begins did not succeed", slog.Any("error", err))
	}
}
