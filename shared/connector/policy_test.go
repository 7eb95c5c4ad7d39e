package connector

import (
	"strings"
	"testing"
)

func TestErrorPolicy(t *testing.T) {
	for name, c := range map[string]struct {
		config   map[string]string
		severity Severity
		says     string
	}{
		"a dead letter would come back": {
			map[string]string{"errors.tolerance": "all", "errors.deadletterqueue.topic.name": "challenger"}, Error, "one of topics",
		},
		"not a topic's name":                  {map[string]string{"errors.tolerance": "all", "errors.deadletterqueue.topic.name": "dead letters"}, Error, "not a topic's name"},
		"no such tolerance":                   {map[string]string{"errors.tolerance": "some"}, Error, "none, all"},
		"no replicas":                         {map[string]string{"errors.deadletterqueue.topic.replication.factor": "0"}, Error, "out of range"},
		"nothing goes to the topic":           {map[string]string{"errors.deadletterqueue.topic.name": "dead"}, Advice, "errors.tolerance is none"},
		"skipped and nowhere to be seen":      {map[string]string{"errors.tolerance": "all"}, Advice, "without a dead-letter topic"},
		"as Connect's documentation gives it": {map[string]string{"errors.tolerance": "all", "errors.deadletterqueue.topic.name": "dead"}, 0, ""},
	} {
		conn := read(t, infra+"gcs-sink.json").With(c.config)
		_, problems := conn.Explain(Worker{}, CheckOptions{})
		var about []string
		found := false
		for _, p := range problems {
			if strings.HasPrefix(p.Key, "errors.") {
				about = append(about, p.String())
				found = found || p.Severity == c.severity && strings.Contains(p.String(), c.says)
			}
		}
		if c.says == "" && len(about) > 0 || c.says != "" && !found {
			t.Errorf("%s: %q", name, about)
		}
	}
}

func TestErrorPolicyUnlessItIsGiven(t *testing.T) {
	s, err := read(t, infra+"gcs-sink.json").Sink(t.Context(), worker, resolver(nil), CheckOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if want := (ErrorPolicy{DeadLetterReplication: 3, NullDeadLetters: true}); s.Errors != want {
		t.Errorf("%+v, want %+v", s.Errors, want)
	}
}
