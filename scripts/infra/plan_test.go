package infra

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// plan is what terraform test -verbose shows of one run: Terraform's plan in its JSON form ("JSON Output Format").
type plan struct {
	Changes []*change `json:"resource_changes"`
}

// change is one resource and what is done with it.
type change struct {
	Address string
	Mode    string
	Type    string
	Name    string
	Index   any
	Change  struct {
		Actions []string
		Before  any
		After   any
	}
}

func (p *plan) ready() {
	p.Changes = slices.DeleteFunc(p.Changes, func(c *change) bool { return c.Mode == "data" })
}

// resources are what is there once the plan is carried out; of the named types, or all.
func (p *plan) resources(types ...string) []*change {
	var out []*change
	for _, c := range p.Changes {
		if c.Change.After != nil && (len(types) == 0 || slices.Contains(types, c.Type)) {
			out = append(out, c)
		}
	}
	return out
}

// actions are what is done, "create ADDRESS", sorted; what stays as it is is left out.
func (p *plan) actions() []string {
	var out []string
	for _, c := range p.Changes {
		if action := strings.Join(c.Change.Actions, "+"); action != "no-op" && action != "read" {
			out = append(out, action+" "+c.Address)
		}
	}
	slices.Sort(out)
	return out
}

// value is a part of the resource as planned, "template.0.timeout"; nil when it is absent or not known before apply.
func (c *change) value(path string) any {
	v := c.Change.After
	for part := range strings.SplitSeq(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i >= len(x) {
				return nil
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}

// text is value as text, "" when there is none.
func (c *change) text(path string) string {
	switch v := c.value(path).(type) {
	case nil:
		return ""
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return fmt.Sprint(v)
	}
}

// seconds reads a duration of Google Cloud ("60s") or a number of seconds; -1 when it is neither.
func (c *change) seconds(path string) int {
	n, err := strconv.Atoi(strings.TrimSuffix(c.text(path), "s"))
	if err != nil {
		return -1
	}
	return n
}

// env are the environment variables of a service or a job.
func (c *change) env() map[string]string {
	path := "template.0.containers.0.env"
	if c.Type == "google_cloud_run_v2_job" {
		path = "template.0.template.0.containers.0.env"
	}
	out := map[string]string{}
	list, _ := c.value(path).([]any)
	for _, item := range list {
		if m, ok := item.(map[string]any); ok {
			out[fmt.Sprint(m["name"])] = fmt.Sprint(m["value"])
		}
	}
	return out
}

var instance = regexp.MustCompile(`\[[^]]*\]`)

// general is the address without what is particular of one instance: module.sink.google_cloud_run_v2_job.sink.
func (c *change) general() string { return instance.ReplaceAllString(c.Address, "") }

// grants are all rights that the plan gives, "account role what", sorted. An account that is not known before apply is "?".
func (p *plan) grants() []string {
	var out []string
	for _, c := range p.resources() {
		if !strings.HasSuffix(c.Type, "_iam_member") {
			continue
		}
		member := strings.TrimPrefix(c.text("member"), "serviceAccount:")
		member, _, _ = strings.Cut(member, "@")
		if member == "" {
			member = "?"
		}
		out = append(out, member+" "+strings.TrimPrefix(c.text("role"), "roles/")+" "+c.target())
	}
	slices.Sort(out)
	return out
}

// target is what a grant is on.
func (c *change) target() string {
	switch c.Type {
	case "google_storage_managed_folder_iam_member":
		return "folder " + c.text("bucket") + "/" + c.text("managed_folder")
	case "google_storage_bucket_iam_member":
		return "bucket " + c.text("bucket")
	case "google_secret_manager_secret_iam_member":
		if c.text("project") == "" {
			return "secret " + c.text("secret_id")
		}
		return "secret " + c.text("project") + "/" + c.text("secret_id")
	case "google_secret_manager_regional_secret_iam_member":
		return "secret " + c.text("project") + "/" + c.text("location") + "/" + c.text("secret_id")
	case "google_cloud_run_v2_service_iam_member":
		return "service " + c.text("name")
	case "google_cloud_run_v2_job_iam_member":
		return "job " + c.text("name")
	case "google_pubsub_topic_iam_member":
		return "topic " + c.text("topic")
	case "google_pubsub_subscription_iam_member":
		return "subscription " + c.text("subscription")
	case "google_project_iam_member":
		return "project"
	}
	return c.Type
}
