package infra

import (
	"regexp"
	"strings"
	"testing"
)

// TestServiceStartsLast: Cloud Run lets a revision serve only when its startup probe has dialled the broker and read the
// state, so apply fails unless what these take is there before the service, and a schedule calls in vain before it may.
func TestServiceStartsLast(t *testing.T) {
	out, errs, err := terraform(t, workspace(t), "graph")
	if err != nil {
		t.Fatalf("%v\n%s", err, errs)
	}
	next := map[string][]string{}
	for _, m := range regexp.MustCompile(`"([^"]+)" -> "([^"]+)"`).FindAllStringSubmatch(string(out), -1) {
		next[m[1]] = append(next[m[1]], m[2])
	}
	var reach func(from string, seen map[string]bool) map[string]bool
	reach = func(from string, seen map[string]bool) map[string]bool {
		for _, to := range next[from] {
			if !seen[to] {
				seen[to] = true
				reach(to, seen)
			}
		}
		return seen
	}
	for from, wants := range map[string]string{
		"module.poller.google_cloud_run_v2_service.poller": `module.kafka.google_managed_kafka_cluster.cluster
			module.kafka.google_managed_kafka_topic.topic module.kafka.google_managed_kafka_acl.acl module.kafka.google_project_iam_member.client
			module.poller.google_storage_managed_folder_iam_member.state module.poller.google_storage_managed_folder_iam_member.connectors
			module.poller.google_secret_manager_secret_iam_member.bare module.poller.google_secret_manager_secret_iam_member.full
			module.poller.google_secret_manager_regional_secret_iam_member.full`,
		"module.poller.google_cloud_scheduler_job.poll": "module.poller.google_cloud_run_v2_service_iam_member.invoker",
		"module.poller.google_pubsub_subscription.poll": "module.poller.google_cloud_run_v2_service_iam_member.invoker",
		"module.sink.google_cloud_scheduler_job.drain": `module.sink.google_cloud_run_v2_job_iam_member.scheduler
			module.sink.google_storage_bucket_iam_member.archive
			module.sink.google_storage_managed_folder_iam_member.state module.sink.google_storage_managed_folder_iam_member.connectors
			module.sink.google_secret_manager_secret_iam_member.bare module.sink.google_secret_manager_secret_iam_member.full
			module.sink.google_secret_manager_regional_secret_iam_member.full`,
	} {
		before := reach(from, map[string]bool{})
		for want := range strings.FieldsSeq(wants) {
			if !before[want] {
				t.Errorf("%s does not wait for %s", from, want)
			}
		}
	}
}
