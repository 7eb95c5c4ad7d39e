package infra

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// alerts are policies that Cloud Monitoring takes: absences of whole minutes, up to 23 hours and a half, on metrics that
// the plan has, for every connector that is not paused.
func alerts(p *plan) []string {
	var c complaints
	metrics, distributions := map[string]bool{}, map[string]bool{}
	for _, r := range p.resources("google_logging_metric") {
		metrics["logging.googleapis.com/user/"+r.text("name")] = true
		list, _ := r.value("metric_descriptor.0.labels").([]any)
		extractors, _ := r.value("label_extractors").(map[string]any)
		if len(list) == 0 || len(list) != len(extractors) {
			c.add(r, "has the labels %v and takes %v", list, extractors)
		}
		extracts := r.text("value_extractor")
		if r.text("metric_descriptor.0.value_type") == "DISTRIBUTION" {
			distributions["logging.googleapis.com/user/"+r.text("name")] = true
			field, ok := strings.CutPrefix(strings.TrimSuffix(extracts, ")"), "EXTRACT(jsonPayload.")
			// A line without the field has no value to take.
			if !ok || !strings.HasSuffix(r.text("filter"), " AND jsonPayload."+field+">=0") {
				c.add(r, "takes %q of what %s lets through", extracts, r.text("filter"))
			}
		} else if extracts != "" {
			c.add(r, "counts and takes %s", extracts)
		}
		for label, from := range extractors {
			if from != "EXTRACT(jsonPayload."+label+")" {
				c.add(r, "label %s is %v", label, from)
			}
		}
	}
	quiet, behind := map[string]bool{}, map[string]bool{}
	for _, r := range p.resources("google_monitoring_alert_policy") {
		condition, conditions := "conditions.0.condition_threshold.0.", 1
		if r.value("conditions.0.condition_absent.0") != nil {
			condition, conditions = "conditions.0.condition_absent.0.", 2
			if d := r.seconds(condition + "duration"); d < 300 || d > 84600 || d%60 != 0 {
				c.add(r, "an absence of %d s is none that Cloud Monitoring takes", d)
			}
			zeros := "conditions.1.condition_threshold.0."
			if r.text(zeros+"filter") != r.text(condition+"filter") || r.text(zeros+"aggregations.0.alignment_period") != r.text(condition+"duration") ||
				r.text(zeros+"comparison") != "COMPARISON_LT" || r.text(zeros+"threshold_value") != "1" || r.text(zeros+"duration") != "0s" ||
				r.text(zeros+"aggregations.0.per_series_aligner") != "ALIGN_DELTA" ||
				fmt.Sprint(r.value(zeros+"aggregations.0.group_by_fields")) != fmt.Sprint(r.value(condition+"aggregations.0.group_by_fields")) {
				c.add(r, "does not take zeros for an absence")
			}
		}
		if own := map[string]map[string]bool{"no_success": quiet, "undrained": behind}[r.Name]; own != nil {
			own[fmt.Sprint(r.Index)] = r.text("enabled") != "false"
			if !strings.Contains(r.text(condition+"filter"), fmt.Sprintf(`metric.labels.connector="%v"`, r.Index)) {
				c.add(r, "looks at another connector: %s", r.text(condition+"filter"))
			}
		}
		if list, _ := r.value("conditions").([]any); len(list) != conditions {
			c.add(r, "has %d conditions", len(list))
		}
		filter := r.text(condition + "filter")
		if !strings.HasPrefix(filter, `metric.type="`) || !strings.Contains(filter, " AND resource.type=") {
			c.add(r, "filter %q", filter)
			continue
		}
		metric, _, _ := strings.Cut(strings.TrimPrefix(filter, `metric.type="`), `"`)
		if !metrics[metric] && metric != "pubsub.googleapis.com/subscription/num_undelivered_messages" {
			c.add(r, "reads %s, which nothing writes", metric)
		}
		// A distribution has no number to compare until it is reduced to one.
		if reducer := r.text(condition + "aggregations.0.cross_series_reducer"); distributions[metric] != (reducer == "REDUCE_MEAN") {
			c.add(r, "reduces %s by %q", metric, reducer)
		}
		if !strings.Contains(r.text("documentation.0.content"), "/playbooks/") {
			c.add(r, "does not say what to do")
		}
	}
	for _, r := range p.resources("google_cloud_scheduler_job") {
		// A poll's schedule has the connector's name as its index; a drain's module has it.
		name := fmt.Sprint(r.Index)
		if r.Name == "drain" {
			_, name, _ = strings.Cut(r.Address, `["`)
			name, _, _ = strings.Cut(name, `"]`)
		}
		watched := r.text("paused") != "true"
		if quiet[name] != watched || r.Name == "drain" && behind[name] != watched {
			c.add(r, "paused: %s, watched: %v %v", r.text("paused"), quiet[name], behind[name])
		}
	}
	for _, r := range p.resources("google_monitoring_dashboard") {
		if !json.Valid([]byte(r.text("dashboard_json"))) {
			c.add(r, "is no JSON")
		}
	}
	return c
}

// silences are after how many seconds without a success an alert is due, by connector; -1 where it looks at failures.
func silences(p *plan, name string) map[string]int {
	out := map[string]int{}
	for _, r := range p.resources("google_monitoring_alert_policy") {
		if r.Name == name {
			out[fmt.Sprint(r.Index)] = r.seconds("conditions.0.condition_absent.0.duration")
		}
	}
	return out
}

// keyAges are after how many days an alert on a key's age is due, by what it looks at.
func keyAges(p *plan) map[string]string {
	out := map[string]string{}
	for _, r := range p.resources("google_monitoring_alert_policy") {
		if r.Name == "key_age" {
			_, kind, _ := strings.Cut(r.text("conditions.0.condition_threshold.0.filter"), "resource.type=")
			out[fmt.Sprint(r.Index)] = kind + r.text("conditions.0.condition_threshold.0.comparison") + " " + r.text("conditions.0.condition_threshold.0.threshold_value")
		}
	}
	return out
}

// keyAgeCheck looks at what the default, a number and 0 became.
var keyAgeCheck = check{"a key's age is watched as it was asked for", []string{"many", "user_files", "network"}, func(r runs) []string {
	var out []string
	for file, want := range map[string]map[string]string{
		"user_files": {"polls": `"cloud_run_revision"COMPARISON_GT 90`, "drains": `"cloud_run_job"COMPARISON_GT 90`},
		"many":       {"polls": `"cloud_run_revision"COMPARISON_GT 30`, "drains": `"cloud_run_job"COMPARISON_GT 30`},
		"network":    {},
	} {
		one := r.of(file, "plan")
		if one == nil || one.plan == nil {
			return []string{"nothing was planned"}
		}
		if got := keyAges(one.plan); fmt.Sprint(got) != fmt.Sprint(want) {
			out = append(out, fmt.Sprintf("%s: %v, not %v", file, got, want))
		}
		metrics := 0
		for _, m := range one.plan.resources("google_logging_metric") {
			if m.Name == "key_age" {
				metrics++
			}
		}
		if metrics != min(1, len(want)) {
			out = append(out, fmt.Sprintf("%s: %d metrics", file, metrics))
		}
	}
	return out
}}

// alertChecks look at what the schedules of the many connectors became.
func alertChecks() []check {
	return []check{keyAgeCheck, {"alerts wait as long as schedules are apart", []string{"many", "user_files", "managed_kafka"}, func(r runs) []string {
		many, user, kafka := r.of("many", "plan"), r.of("user_files", "plan"), r.of("managed_kafka", "plan")
		if many == nil || many.plan == nil || user == nil || user.plan == nil || kafka == nil || kafka.plan == nil {
			return []string{"nothing was planned"}
		}
		var out []string
		for _, one := range []struct {
			got  map[string]int
			want map[string]int
		}{
			{silences(many.plan, "no_success"), map[string]int{
				"challenger": 600, "grandmaster": 3*3600 + 60, "master": 3*21600 + 60, "nightly": -1,
				"gcs-sink": 3*3600 + 3600, "other": 3*900 + 3600, "own-key": 3*3600 + 3600,
			}},
			// Half of a day's retention comes before two days.
			{silences(many.plan, "undrained"), map[string]int{"gcs-sink": 43200, "other": 43200, "own-key": 43200}},
			{silences(user.plan, "undrained"), map[string]int{"gcs-sink": 21600}},
			// Of 65 and of 1000 s a whole minute is made; each second hour is a period, once a day is too seldom.
			{silences(kafka.plan, "no_success"), map[string]int{"challenger": 600, "matches": 3*7200 + 120, "gcs-sink": 3*3600 + 1020, "other": -1}},
			{silences(kafka.plan, "undrained"), map[string]int{"gcs-sink": 21600, "other": -1}},
		} {
			if fmt.Sprint(one.got) != fmt.Sprint(one.want) {
				out = append(out, fmt.Sprintf("%v, not %v", one.got, one.want))
			}
		}
		for _, r := range slices.Concat(many.plan.resources("google_monitoring_alert_policy"), kafka.plan.resources("google_monitoring_alert_policy")) {
			if r.Name != "no_success" && r.Name != "undrained" || r.value("conditions.0.condition_absent.0") != nil {
				continue
			}
			want := `resource.type="cloud_run_job" AND metric.labels.outcome=one_of("failed","misconfigured","stopped"`
			if fmt.Sprint(r.Index) == "nightly" {
				want = `resource.type="cloud_run_revision" AND metric.labels.outcome=one_of("upstream","unavailable","refused","schema_refused","stopped","unknown","unauthorized","deferred"`
			} else if r.Name == "undrained" {
				want += `,"deadline"`
			}
			if filter := r.text("conditions.0.condition_threshold.0.filter"); !strings.Contains(filter, want+")") || r.text("conditions.0.condition_threshold.0.threshold_value") != "0" {
				out = append(out, r.Address+" looks at "+filter)
			}
		}
		var channels []string
		for _, r := range many.plan.resources("google_monitoring_alert_policy") {
			channels = append(channels, r.text("notification_channels.0"))
		}
		if slices.ContainsFunc(channels, func(c string) bool { return c != "projects/my-project/notificationChannels/1" }) {
			out = append(out, fmt.Sprintf("told are %v", channels))
		}
		return out
	}}}
}
