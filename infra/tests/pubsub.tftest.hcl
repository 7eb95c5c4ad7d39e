# Sources that are triggered by way of Pub/Sub, beside one by HTTP.

mock_provider "google" {
  source = "./tests/mocks/plan"
}

variables {
  project_id      = "my-project"
  region          = "europe-west1"
  poller_image    = "europe-west1-docker.pkg.dev/my-project/riftline/poller:0123abc"
  sink_image      = "europe-west1-docker.pkg.dev/my-project/riftline/sink:0123abc"
  worker_settings = { CONNECT_BOOTSTRAP_SERVERS = "broker:9092" }
  connectors_dir  = "./tests/connectors/pubsub"
}

run "plan" {
  command = plan

  assert {
    condition     = { for name, c in output.connectors : name => c.trigger } == { challenger = "pubsub", master = "pubsub", nightly = "http" }
    error_message = "riftline.trigger decides"
  }
}
