package infra

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// Who may do what inside of Google's Kafka, all of it.
var kafkaRules = []string{
	"riftline-poller DESCRIBE consumerGroupPrefixed/riftline-",
	"riftline-poller DESCRIBE topic/challenger",
	"riftline-poller DESCRIBE topic/matches",
	"riftline-poller DESCRIBE transactionalIdPrefixed/riftline-",
	"riftline-poller DESCRIBE_CONFIGS topic/challenger",
	"riftline-poller DESCRIBE_CONFIGS topic/matches",
	"riftline-poller READ consumerGroupPrefixed/riftline-",
	"riftline-poller READ topic/challenger",
	"riftline-poller READ topic/matches",
	"riftline-poller WRITE topic/challenger",
	"riftline-poller WRITE topic/matches",
	"riftline-poller WRITE transactionalIdPrefixed/riftline-",
	"riftline-sink-gcs-sink DESCRIBE consumerGroup/connect-gcs-sink",
	"riftline-sink-gcs-sink DESCRIBE topic/challenger",
	"riftline-sink-gcs-sink DESCRIBE_CONFIGS topic/challenger",
	"riftline-sink-gcs-sink READ consumerGroup/connect-gcs-sink",
	"riftline-sink-gcs-sink READ topic/challenger",
	"riftline-sink-other DESCRIBE consumerGroup/connect-other",
	"riftline-sink-other DESCRIBE topic/matches",
	"riftline-sink-other DESCRIBE topic/other-dead",
	"riftline-sink-other DESCRIBE_CONFIGS topic/matches",
	"riftline-sink-other READ consumerGroup/connect-other",
	"riftline-sink-other READ topic/matches",
	"riftline-sink-other WRITE topic/other-dead",
}

func kafkaChecks() []check {
	return []check{
		{"rules of managed_kafka", []string{"managed_kafka"}, func(r runs) []string {
			one := r.of("managed_kafka", "plan")
			if one == nil || one.plan == nil {
				return []string{"nothing was planned"}
			}
			var got []string
			for _, acl := range one.plan.resources("google_managed_kafka_acl") {
				entries, _ := acl.value("acl_entries").([]any)
				for _, entry := range entries {
					e, _ := entry.(map[string]any)
					principal, _, _ := strings.Cut(strings.TrimPrefix(fmt.Sprint(e["principal"]), "User:"), "@")
					line := principal + " " + fmt.Sprint(e["operation"]) + " " + acl.text("acl_id")
					if e["permission_type"] != "ALLOW" || e["host"] != "*" {
						line += fmt.Sprintf(" %v from %v", e["permission_type"], e["host"])
					}
					got = append(got, line)
				}
			}
			slices.Sort(got)
			return differences(got, kafkaRules)
		}},
		{"managed_kafka is reached by identity and kept", []string{"managed_kafka"}, func(r runs) []string {
			one := r.of("managed_kafka", "plan")
			if one == nil || one.plan == nil {
				return []string{"nothing was planned"}
			}
			var c complaints
			for _, r := range one.plan.resources("google_cloud_run_v2_service", "google_cloud_run_v2_job") {
				for name, want := range map[string]string{
					"CONNECT_BOOTSTRAP_SERVERS":                 "bootstrap.events.europe-west1.managedkafka.my-project.cloud.goog:9092",
					"CONNECT_SECURITY_PROTOCOL":                 "SASL_SSL",
					"CONNECT_SASL_MECHANISM":                    "OAUTHBEARER",
					"CONNECT_SASL_LOGIN_CALLBACK_HANDLER_CLASS": "com.google.cloud.hosted.kafka.auth.GcpLoginCallbackHandler",
				} {
					if got := r.env()[name]; got != want {
						c.add(r, "%s is %q", name, got)
					}
				}
			}
			if n := len(one.plan.resources("google_managed_kafka_topic")); n != 3 {
				c = append(c, fmt.Sprintf("%d topics", n))
			}
			for _, r := range one.plan.resources("google_managed_kafka_topic") {
				if r.text("replication_factor") != "3" {
					c.add(r, "has %s copies", r.text("replication_factor"))
				}
			}
			// A mocked provider destroys what a plan would not: the setting itself is looked for.
			text, err := os.ReadFile(folder + "/modules/kafka/main.tf")
			if err != nil || strings.Count(string(text), "prevent_destroy = true") != 2 {
				c = append(c, fmt.Sprintf("cluster and topics can be destroyed: %v", err))
			}
			return c
		}},
	}
}
