package cost

import (
	"math"
)

// A month is 30 days here.
const (
	Days    = 30
	Hours   = Days * 24
	Minutes = Hours * 60
	seconds = Minutes * 60
	// held is how long an instance holds a connector file and a secret, in minutes.
	held = 5
	// leastTask is the shortest time that a task of a job is billed for, in seconds.
	leastTask = 60
	// plan is how many objects a plan has at most.
	plan = 512
)

// Assumptions are what connector files do not say.
type Assumptions struct {
	// ChangesPerDay are the new and changed entries of one source partition in a day.
	ChangesPerDay float64
	// RunSeconds is how long a poll of one source partition takes, DrainSeconds a task of a drain.
	RunSeconds, DrainSeconds float64
	// RecordBytes is what a record takes in an object.
	RecordBytes float64
	// MonthsKept is how many months of objects are stored.
	MonthsKept float64
	// CPUs and GiB are those of an instance of the poller and of a task of a sink.
	CPUs, GiB float64
}

// Defaults are the assumptions for a ladder of 300 players: 2,400 changes a day; half a second a poll, most of which is
// the API's; 456 bytes a record, measured; a year of objects; the instances that infra/ makes.
func Defaults() Assumptions {
	return Assumptions{ChangesPerDay: 2400, RunSeconds: 0.5, DrainSeconds: 20, RecordBytes: 456, MonthsKept: 12, CPUs: 1, GiB: 0.5}
}

// Source is what of a source connector makes a difference.
type Source struct {
	Name  string
	Topic string
	// Runs are the triggers of a month, Units the source partitions that each polls.
	Runs, Units float64
	// Secrets is how many secrets a run reads.
	Secrets float64
	// ThroughPubSub is true where the trigger comes through Pub/Sub.
	ThroughPubSub bool
}

// Sink is what of a sink connector makes a difference.
type Sink struct {
	Name string
	// Drains are those of a month, Tasks the tasks of each.
	Drains, Tasks float64
	FlushSize     float64
	// LeavesRest is riftline.flush.on.drain.end=false.
	LeavesRest bool
	// Records are those of a month in its topics.
	Records float64
	Secrets float64
}

// Usage is how much of each item a month takes.
type Usage [items]float64

// Plus adds up.
func (u Usage) Plus(v Usage) Usage {
	for i := range u {
		u[i] += v[i]
	}
	return u
}

// busy is how many of n looks find something, when so many things are spread over them by chance.
func busy(n, things float64) float64 {
	if n == 0 {
		return 0
	}
	return n * (1 - math.Exp(-things/n))
}

// Records are the records of a month that the source publishes.
func (s Source) Records(a Assumptions) float64 {
	if s.Runs == 0 {
		return 0
	}
	return a.ChangesPerDay * Days * s.Units
}

// Use is what a month of the source takes. A poll that finds nothing new is one read of its source offset object; one
// that does is a second read and two writes. Instances hold connector file and secrets for five minutes. Runs that
// overlap on one instance are billed once and counted twice here.
func (s Source) Use(a Assumptions) Usage {
	polls := s.Runs * s.Units
	changed := busy(polls, s.Records(a))
	reads := min(s.Runs, Minutes/held)
	u := Usage{
		ServiceCPU:      polls * a.RunSeconds * a.CPUs,
		ServiceMemory:   polls * a.RunSeconds * a.GiB,
		ServiceRequests: s.Runs,
		Schedules:       1,
		SecretReads:     reads * s.Secrets,
		ClassA:          2 * changed,
		ClassB:          polls + changed + reads,
	}
	if s.ThroughPubSub {
		// Each message is published and delivered.
		u[PubSub] = 2 * s.Runs * 1000 / (1 << 30)
	}
	return u
}

// Objects are the objects of a month, and the drains that write some.
func (s Sink) Objects() (objects, writing float64) {
	if s.Records == 0 || s.Drains == 0 {
		return 0, 0
	}
	writing = busy(s.Drains, s.Records)
	if s.LeavesRest {
		objects = math.Floor(s.Records / s.FlushSize)
		return objects, min(writing, objects)
	}
	return writing * math.Ceil(s.Records/writing/s.FlushSize), writing
}

// Use is what a month of the sink takes: a read of head and connector file by each task; an insert for each object; for
// each drain that writes, the plans and the closing of the head. Its records lie in one partition and one encoded
// partition; with several of them, and with a partitioner by time or field, there are more objects.
func (s Sink) Use(a Assumptions) Usage {
	objects, writing := s.Objects()
	tasks := s.Drains * s.Tasks
	billed := tasks * max(a.DrainSeconds, leastTask)
	u := Usage{
		JobCPU:      billed * a.CPUs,
		JobMemory:   billed * a.GiB,
		Schedules:   1,
		SecretReads: tasks * s.Secrets,
		Storage:     s.Records * a.RecordBytes / 1e9 * a.MonthsKept,
		ClassB:      2 * tasks,
	}
	if writing > 0 {
		u[ClassA] = objects + writing*(math.Ceil(objects/writing/plan)+1)
	}
	return u
}

// Line is one item of a bill.
type Line struct {
	Item
	Price
	Units float64
	// List is what the units cost, Free what of it is free, in dollars.
	List, Free float64
}

// Due is what is left to pay.
func (l Line) Due() float64 { return l.List - l.Free }

// Bill prices a month's usage. Items of which nothing is used are left out.
func Bill(u Usage) []Line {
	var out []Line
	for i, units := range u {
		if units == 0 {
			continue
		}
		p := Prices[i]
		out = append(out, Line{Item: Item(i), Price: p, Units: units, List: units / p.Per * p.Dollars, Free: min(units, p.Free) / p.Per * p.Dollars})
	}
	return out
}

// Sum adds a bill up: what is listed, and what is due after what is free.
func Sum(bill []Line) (list, due float64) {
	for _, l := range bill {
		list += l.List
		due += l.Due()
	}
	return list, due
}

// Managed is a month of the smallest Connect cluster of Google's managed service, if its DCUs cost what a Kafka
// cluster's do.
func Managed() float64 { return (ManagedCPUs*0.6 + ManagedGiB*0.1) * ManagedDCUHour * Hours }

// Worker is a month of one Connect worker that is always on.
func Worker() float64 {
	return seconds * (WorkerCPUs*Prices[JobCPU].Dollars + WorkerGiB*Prices[JobMemory].Dollars)
}
