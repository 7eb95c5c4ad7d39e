package infra

import (
	"regexp"
	"slices"
	"strings"
)

var (
	cronNumber = `([0-9]|[1-5][0-9])`
	cronField  = regexp.MustCompile(`^(\*|[a-z]{3}(-[a-z]{3})?|` + cronNumber + `(-` + cronNumber + `)?)(/` + cronNumber + `)?(,` + cronNumber + `)*$`)
	labelText  = regexp.MustCompile(`^[a-z0-9_-]{1,63}$`)
	wellNamed  = map[string]*regexp.Regexp{
		"google_service_account.account_id":       regexp.MustCompile(`^[a-z][-a-z0-9]{4,28}[a-z0-9]$`),
		"google_cloud_run_v2_service.name":        regexp.MustCompile(`^[a-z]([-a-z0-9]{0,47}[a-z0-9])?$`),
		"google_cloud_run_v2_job.name":            regexp.MustCompile(`^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`),
		"google_cloud_scheduler_job.name":         regexp.MustCompile(`^[A-Za-z0-9_-]{1,500}$`),
		"google_cloud_scheduler_job.time_zone":    regexp.MustCompile(`^(UTC|[A-Z][A-Za-z_]+/[A-Za-z_/+-]+)$`),
		"google_pubsub_topic.name":                regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._~+%-]{2,254}$`),
		"google_pubsub_subscription.name":         regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._~+%-]{2,254}$`),
		"google_storage_bucket.name":              regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$`),
		"google_storage_managed_folder.name":      regexp.MustCompile(`^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*/$`),
		"google_storage_bucket_object.name":       regexp.MustCompile(`^connectors/[A-Za-z0-9._-]{1,64}\.json$`),
		"google_secret_manager_secret.secret_id":  regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`),
		"google_cloud_scheduler_job.region":       regexp.MustCompile(`^[a-z]+-[a-z]+[0-9]+$`),
		"google_cloud_run_v2_service.location":    regexp.MustCompile(`^[a-z]+-[a-z]+[0-9]+$`),
		"google_cloud_run_v2_job.location":        regexp.MustCompile(`^[a-z]+-[a-z]+[0-9]+$`),
		"google_logging_metric.name":              regexp.MustCompile(`^[A-Za-z0-9_-]{1,100}$`),
		"google_service_account.display_name":     regexp.MustCompile(`^.{1,100}$`),
		"google_service_account.description":      regexp.MustCompile(`^.{1,256}$`),
		"google_cloud_scheduler_job.description":  regexp.MustCompile(`^.{1,500}$`),
		"google_monitoring_alert_policy.severity": regexp.MustCompile(`^(CRITICAL|ERROR|WARNING)$`),
	}
)

func names(p *plan) []string {
	var c complaints
	seen := map[string]string{}
	for _, r := range p.resources() {
		for key, form := range wellNamed {
			typ, field, _ := strings.Cut(key, ".")
			if typ == r.Type && !form.MatchString(r.text(field)) {
				c.add(r, "%s %q", field, r.text(field))
			}
			if typ == r.Type && (field == "name" || field == "account_id" || field == "secret_id") {
				id := typ + " " + r.text(field)
				if typ == "google_storage_managed_folder" || typ == "google_storage_bucket_object" {
					id += " " + r.text("bucket")
				}
				if before, ok := seen[id]; ok {
					c.add(r, "has the name of %s: %s", before, r.text(field))
				}
				seen[id] = r.Address
			}
		}
		if r.Type == "google_cloud_scheduler_job" {
			fields := strings.Fields(r.text("schedule"))
			if len(fields) != 5 || slices.ContainsFunc(fields, func(f string) bool { return !cronField.MatchString(f) }) {
				c.add(r, "schedule %q", r.text("schedule"))
			}
		}
	}
	return c
}
