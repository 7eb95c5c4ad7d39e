# The user's two files, as they are.

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
}

run "plan" {
  command = plan

  assert {
    condition = output.connectors == {
      challenger = { kind = "source", schedule = "* * * * * UTC", paused = false, trigger = "http" }
      gcs-sink   = { kind = "sink", schedule = "0 * * * * UTC", paused = false, trigger = "http" }
    }
    error_message = "the two files are one source, polled each minute, and one sink, drained each hour"
  }

  assert {
    condition     = output.secrets_to_fill == tolist(["riot-api-key"])
    error_message = "the one reference is the one secret"
  }

  assert {
    condition     = output.sink_jobs == { gcs-sink = "riftline-sink-gcs-sink" } && output.schedules == { challenger = "riftline-poll-challenger", gcs-sink = "riftline-drain-gcs-sink" }
    error_message = "job and schedules are named after their connectors"
  }
}
