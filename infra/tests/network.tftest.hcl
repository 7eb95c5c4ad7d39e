# Direct VPC egress, everything that may be larger or longer, and no alert on a key's age.

mock_provider "google" {
  source = "./tests/mocks/plan"
}

variables {
  project_id      = "my-project"
  region          = "europe-west1"
  poller_image    = "europe-west1-docker.pkg.dev/my-project/riftline/poller:0123abc"
  sink_image      = "europe-west1-docker.pkg.dev/my-project/riftline/sink:0123abc"
  worker_settings = { CONNECT_BOOTSTRAP_SERVERS = "broker:9092" }
  archive_buckets = { riftline-archive = {} }

  vpc = {
    network    = "default"
    subnetwork = "projects/host-project/regions/europe-west1/subnetworks/kafka"
    tags       = ["kafka-client"]
  }

  poll_deadline_seconds = 540
  drain_timeout_seconds = 86400
  poller_max_instances  = 3
  poller_resources      = { cpu = "2", memory = "1Gi" }
  bucket_location       = "EU"
  alerts                = { key_max_age_days = 0 }
  secret_locations      = ["europe-west1", "europe-west4"]
}

run "plan" {
  command = plan

  assert {
    condition     = length(output.connectors) == 2
    error_message = "the network changes nothing of what the files ask for"
  }
}
