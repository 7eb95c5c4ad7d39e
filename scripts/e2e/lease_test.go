//go:build unix

package e2e

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/poll"
)

// grant gives the user without rights, or takes back, rights to what is named like this.
func (p *pipeline) grant(give bool, b *kadm.ACLBuilder) {
	p.t.Helper()
	// Rights are taken back when the test is over, and its context with it.
	ctx := context.WithoutCancel(p.t.Context())
	b = b.Allow("User:limited").AllowHosts("*")
	if give {
		results, err := p.admin.CreateACLs(ctx, b)
		for _, r := range results {
			err = errors.Join(err, r.Err)
		}
		if err != nil {
			p.t.Fatal(err)
		}
		return
	}
	results, err := p.admin.DeleteACLs(ctx, b)
	for _, r := range results {
		err = errors.Join(err, r.Err)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func onTopic(p *pipeline, ops ...kadm.ACLOperation) *kadm.ACLBuilder {
	return kadm.NewACLs().Topics(p.topic).ResourcePatternType(kadm.ACLPatternLiteral).Operations(ops...)
}

// A user who may write to the topic and has no transactional id, against Kafka's own authorizer. It has its time alone:
// as long as the user may write to any topic, other tests do not find him without rights.
func TestLeaseWhereTransactionsAreRefused(t *testing.T) {
	broker := kafka.need(t)
	limited := join(sasl("SASL_PLAINTEXT", "PLAIN", broker["LIMITED_USER"], broker["LIMITED_PASSWORD"]), map[string]string{"CONNECT_BOOTSTRAP_SERVERS": broker["SASL_PLAINTEXT"]})
	p := newPipeline(t, options{})
	var env []string
	for name, value := range limited {
		env = append(env, name+"="+value)
	}
	p.api.ladder(ladder1)
	p.grant(true, onTopic(p, kadm.OpWrite, kadm.OpRead, kadm.OpDescribe, kadm.OpDescribeConfigs))
	t.Cleanup(func() { p.grant(false, onTopic(p, kadm.OpAny)) })

	p.sourceKeys["exactly.once.support"] = "requested"
	p.writeConnectors()
	requested := p.poller(env...)
	// An authorizer learns of a right a moment after it was given.
	var a answer
	eventually(t, "the topic may be written", func() bool {
		var err error
		if a, err = requested.poll(p.source); err != nil {
			t.Fatal(err)
		}
		return a.Outcome != poll.Refused
	})
	if a.Outcome != poll.Published || a.ExactlyOnce || a.Transactions != 0 || a.Published != len(ladder1) {
		t.Errorf("%s", a.body)
	}
	requested.mustPoll(p.source, poll.NothingNew)
	p.wantTopic(ladder1)

	p.api.ladder(ladder2)
	p.sourceKeys["exactly.once.support"] = "required"
	p.writeConnectors()
	if a := p.poller(env...).mustPoll(p.source, poll.Refused); !strings.Contains(a.Error, "transactions are refused") {
		t.Errorf("%s", a.body)
	}
	p.wantTopic(ladder1)
	p.sourceKeys["exactly.once.support"] = "requested"
	p.writeConnectors()

	// Killed with everything there and with nothing there. Who comes then has every right, and finds the intent a lease.
	for _, c := range []struct {
		step, recovered string
		ladder          []entry
		outcome         poll.Outcome
	}{
		{"poll.9.produced", "committed", ladder2, poll.NothingNew},
		{"poll.9.begin", "not_committed", ladder3, poll.Published},
	} {
		p.api.ladder(c.ladder)
		dying := startPoller(t, steps.path(t, "poller"), p.env(append(env, "RIFTLINE_STEP_KILL="+c.step)...))
		p.mustDie(dying, c.step)
		requested.mustPoll(p.source, poll.AnotherRun)
		if s := p.later(time.Hour); s.Outcome != c.outcome || s.Recovered != c.recovered || s.ExactlyOnce {
			t.Errorf("%s: %s, recovered %q", c.step, s.Outcome, s.Recovered)
		}
	}
	requested.mustPoll(p.source, poll.NothingNew)
	p.wantTopic(ladder1, changes, ladder3[7:])

	// With the right to a transactional id the same connector publishes in transactions.
	ids := func() *kadm.ACLBuilder {
		return kadm.NewACLs().TransactionalIDs("riftline-"+p.source+"-").Groups("riftline-"+p.source+"-").ResourcePatternType(kadm.ACLPatternPrefixed).
			Operations(kadm.OpWrite, kadm.OpRead, kadm.OpDescribe)
	}
	p.grant(true, ids())
	t.Cleanup(func() { p.grant(false, ids()) })
	more := player(8, 8)
	p.api.ladder(append(ladder3[:len(ladder3):len(ladder3)], more))
	if a := requested.mustPoll(p.source, poll.Published); a.Published != 1 {
		t.Errorf("%s", a.body)
	}
	messages := p.wantTopic(ladder1, changes, ladder3[7:], []entry{more})
	p.mustDrain()
	p.wantArchive(messages)
}

// Whether transactions are allowed is found out without ending anybody's, on every broker.
func TestAskingForTransactionsTakesNothingOver(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, broker *peer) {
		x := newTransactions(t, broker)
		ask := func() {
			if err := x.producer().Transactions(t.Context()); err != nil {
				t.Error(err)
			}
		}
		ask()
		c, err := kgo.NewClient(kgo.SeedBrokers(x.bootstrap), kgo.TransactionalID(x.id))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, id := range []string{"a", "b"} {
			if err := c.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			ask()
			if err := c.ProduceSync(t.Context(), x.record(id)).FirstErr(); err != nil {
				t.Fatal(err)
			}
			ask()
			if err := c.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
				t.Fatal(err)
			}
		}
		if got := strings.Join(x.keys(), " "); got != "a b" {
			t.Errorf("the topic holds %s", got)
		}
	})
}
