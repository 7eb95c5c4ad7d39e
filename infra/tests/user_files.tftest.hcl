# The user's two files, as they are.

mock_provider "google" {
  source = "./tests/mocks"
}

variables {
  project_id      = "my-project"
  region          = "europe-west1"
  poller_image    = "europe-west1-docker.pkg.dev/my-project/riftline/poller:0123abc"
  sink_image      = "europe-west1-docker.pkg.dev/my-project/riftline/sink:0123abc"
  worker_settings = { CONNECT_BOOTSTRAP_SERVERS = "broker:9092" }
  archive_buckets = { riftline-archive = {} }
}

run "plan" {
  command = plan

  assert {
    condition     = length(output.connectors) == 2
    error_message = "two files are two connectors"
  }
}
