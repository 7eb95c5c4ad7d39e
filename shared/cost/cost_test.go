package cost

import (
	"errors"
	"math"
	"strings"
	"testing"
)

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 0.01*math.Max(math.Abs(want), 0.01) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func line(bill []Line, item Item) Line {
	for _, l := range bill {
		if l.Item == item {
			return l
		}
	}
	return Line{}
}

// TestArithmetic holds the sums against ones that were made by hand.
func TestArithmetic(t *testing.T) {
	a := Defaults()
	minutely := Source{Name: "s", Runs: Minutes, Units: 1, Secrets: 1}
	bill := Bill(minutely.Use(a))
	near(t, "runs", line(bill, ServiceRequests).Units, 43200)
	near(t, "CPU of one poll a minute", line(bill, ServiceCPU).List, 0.5184)
	near(t, "memory of one poll a minute", line(bill, ServiceMemory).List, 0.027)
	near(t, "CPU due", line(bill, ServiceCPU).Due(), 0)
	near(t, "secret read every five minutes", line(bill, SecretReads).Units, 8640)

	never := a
	never.ChangesPerDay = 0
	bill = Bill(Source{Runs: Minutes, Units: 45}.Use(never))
	near(t, "45 ladders that stand still, reads of state", line(bill, ClassB).Units, 1_944_000+8640)
	near(t, "45 ladders that stand still, writes", line(bill, ClassA).Units, 0)
	always := a
	always.ChangesPerDay = 1e9
	bill = Bill(Source{Runs: Minutes, Units: 45}.Use(always))
	near(t, "45 ladders that change at each poll, writes", line(bill, ClassA).List, 19.44)

	whole := Sink{Drains: Minutes, Tasks: 1, FlushSize: 3, Records: 300 * Minutes}
	objects, _ := whole.Objects()
	near(t, "a whole ladder each minute in objects of three", objects, 4_320_000)
	near(t, "and what they cost", objects/1000*Prices[ClassA].Dollars, 21.6)

	hourly := Sink{Drains: Hours, Tasks: 1, FlushSize: 3, Records: 2400 * Days}
	objects, writing := hourly.Objects()
	near(t, "2,400 changes a day, drained hourly: writing drains", writing, 720)
	near(t, "their objects: 100 an hour, 34 of three", objects, 720*34)
	u := hourly.Use(a)
	near(t, "an object is one write, a plan one, the end of a drain one", u[ClassA], 720*(34+2))
	near(t, "a task is billed for a minute", u[JobCPU], 720*60)
	near(t, "a year of records", u[Storage], 2400*30*456*12/1e9)
	hourly.LeavesRest = true
	objects, _ = hourly.Objects()
	near(t, "without the rest of each drain", objects, 24000)

	list, due := Sum(Bill(Usage{Storage: 4, ClassA: 6000, Schedules: 5}))
	near(t, "listed", list, 0.08+0.03+0.5)
	near(t, "due", due, 0+0.005+0.2)
	near(t, "the smallest managed Connect cluster: 2.1 DCU", Managed(), 2.1*0.09*720)
	near(t, "a worker that is always on", Worker(), 2_592_000*(0.000018+2*0.000002))
}

func TestNothingCostsNothing(t *testing.T) {
	a := Defaults()
	paused := Source{Runs: 0, Units: 1, Secrets: 1}
	if u := paused.Use(a); u != (Usage{Schedules: 1}) || paused.Records(a) != 0 {
		t.Errorf("a paused source uses %v", u)
	}
	if u := (Sink{FlushSize: 3, Tasks: 1, Records: 100, Drains: 0}).Use(a); u[ClassA] != 0 || u[JobCPU] != 0 {
		t.Errorf("a paused sink uses %v", u)
	}
	if bill := Bill(Usage{}); len(bill) != 0 {
		t.Errorf("a bill of nothing: %v", bill)
	}
	for i, p := range Prices {
		if p.What == "" || p.Unit == "" || p.Source == "" || p.Dollars <= 0 || p.Per <= 0 || p.Free < 0 {
			t.Errorf("price %d: %+v", i, p)
		}
	}
}

// TestAdviceIsWorthIt makes every change that is advised, and holds the saving against the advice.
func TestAdviceIsWorthIt(t *testing.T) {
	m := Month{Assumptions: Defaults(), SecretCount: 1,
		Sources: []Source{{Name: "ladder", Runs: Minutes, Units: 45}},
		Sinks:   []Sink{{Name: "sink", Drains: Minutes, Tasks: 3, FlushSize: 3, Records: 300 * Minutes}}}
	advice := strings.Join(m.Advise(), "\n")
	better := m
	better.Sinks = []Sink{m.Sinks[0]}
	better.Sinks[0].FlushSize = betterFlush
	for _, want := range []string{
		"sink: flush.size=1000 instead of 3 saves " + Dollars(m.Due()-better.Due()) + " a month",
		"sink: draining once a day instead of 1440 times saves", "ladder: polling every five minutes saves",
	} {
		if !strings.Contains(advice, want) {
			t.Errorf("no advice %q in\n%s", want, advice)
		}
	}
	if m.Sinks[0].FlushSize != 3 || m.Sinks[0].Drains != Minutes {
		t.Error("advising changed the month")
	}
	small := Month{Assumptions: Defaults(), Sinks: []Sink{{Name: "sink", Drains: Hours, Tasks: 1, FlushSize: 3, Records: 2400 * Days}}}
	if advice := small.Advise(); len(advice) != 1 || !strings.Contains(advice[0], "720 objects a month of what now are 24,480") && !strings.Contains(advice[0], "saves") {
		t.Errorf("%v", advice)
	}
	good := Month{Assumptions: Defaults(), Sinks: []Sink{{Name: "sink", Drains: Days, Tasks: 1, FlushSize: 1000, Records: 2400 * Days}}}
	if advice := good.Advise(); len(advice) != 0 {
		t.Errorf("advice where there is none to give: %v", advice)
	}
}

func TestRuns(t *testing.T) {
	for cron, want := range map[string]float64{
		"* * * * *": 43200, "0 * * * *": 720, "*/5 * * * *": 8640, "15 3 * * *": 30, "0,30 8-17 * * *": 600,
		"0 9 * * mon-fri": 30 * 5 / 7.0, "0 9 * * 1-5": 30 * 5 / 7.0, "0 0 1 * *": 30.0 / 31, "0 0 * jan *": 2.5, "0 0 * * 0,7": 30 / 7.0,
		"7/20 * * * *": 3 * 720, "0 0 1 * MON": 30 * (1/31.0 + 1/7.0 - 1/31.0/7), "0-30/10 * * * *": 4 * 720, "0 0 * * *": 30,
	} {
		got, err := Runs(cron)
		if err != nil || math.Abs(got-want) > 1e-9 {
			t.Errorf("%s: %v, %v; want %v", cron, got, err, want)
		}
	}
	for _, cron := range []string{"", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "5-1 * * * *", "*/0 * * * *", "x * * * *", "every 5 minutes of hour"} {
		if _, err := Runs(cron); !errors.Is(err, ErrSchedule) {
			t.Errorf("%q: %v", cron, err)
		}
	}
}

func TestNumbers(t *testing.T) {
	for got, want := range map[string]string{
		Dollars(0): "$0.00", Dollars(0.001): "under $0.01", Dollars(0.005): "$0.01", Dollars(1234.5): "$1234.50",
		Count(0): "0", Count(999): "999", Count(43200): "43,200", Count(1944000): "1,944,000", Count(0.394): "0.39", Count(3): "3",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
