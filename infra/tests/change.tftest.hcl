# A connector file that is added, and one that is removed again.

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

run "two" {
  command = apply
}

run "added" {
  command = plan

  variables {
    connectors_dir = "./tests/connectors/grown"
  }
}

run "four" {
  command = apply

  variables {
    connectors_dir = "./tests/connectors/grown"
  }
}

run "removed" {
  command = plan
}

run "still_two" {
  command = apply
}

run "nothing_left_to_do" {
  command = plan
}
