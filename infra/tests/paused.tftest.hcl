# riftline.paused keeps everything and triggers nothing.

mock_provider "google" {
  source = "./tests/mocks/apply"
}

variables {
  project_id      = "my-project"
  region          = "europe-west1"
  poller_image    = "europe-west1-docker.pkg.dev/my-project/riftline/poller:0123abc"
  sink_image      = "europe-west1-docker.pkg.dev/my-project/riftline/sink:0123abc"
  worker_settings = { CONNECT_BOOTSTRAP_SERVERS = "broker:9092" }
  archive_buckets = { riftline-archive = {} }
}

run "running" {
  command = apply
}

run "paused" {
  command = plan

  variables {
    connectors_dir = "./tests/connectors/paused"
  }

  assert {
    condition     = alltrue([for c in values(output.connectors) : c.paused])
    error_message = "both are paused"
  }
}
