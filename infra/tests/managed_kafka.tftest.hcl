# Google's Managed Service for Apache Kafka: the cluster, topics, and rules for who may do what.

mock_provider "google" {
  source = "./tests/mocks/plan"
}

variables {
  project_id      = "my-project"
  region          = "europe-west1"
  poller_image    = "europe-west1-docker.pkg.dev/my-project/riftline/poller:0123abc"
  sink_image      = "europe-west1-docker.pkg.dev/my-project/riftline/sink:0123abc"
  archive_buckets = { riftline-archive = {} }

  vpc = { network = "default", subnetwork = "default" }

  # No whole number of minutes.
  poll_deadline_seconds = 65
  drain_timeout_seconds = 1000

  managed_kafka = {
    cluster = "events"
    subnet  = "projects/my-project/regions/europe-west1/subnetworks/default"
    topics = {
      challenger = { partitions = 3, configs = { "retention.ms" = "604800000" } }
      matches    = {}
      other-dead = {}
    }
  }

  connectors_dir = "./tests/connectors/kafka"
}

run "plan" {
  command = plan

  assert {
    condition     = length(output.connectors) == 4
    error_message = "four files are four connectors"
  }
}
