# Names that Google Cloud does not take as they are, a second environment in the project, and its state elsewhere.

mock_provider "google" {
  source = "./tests/mocks/plan"
}

variables {
  project_id      = "my-project"
  region          = "europe-west1"
  poller_image    = "europe-west1-docker.pkg.dev/my-project/riftline/poller:0123abc"
  sink_image      = "europe-west1-docker.pkg.dev/my-project/riftline/sink:0123abc"
  worker_settings = { CONNECT_BOOTSTRAP_SERVERS = "broker:9092" }
  connectors_dir  = "./tests/connectors/names"
  prefix          = "staging-env-1"
  state_bucket    = "staging-state"
  archive_buckets = { riftline-archive = {} }
}

run "plan" {
  command = plan

  assert {
    condition     = length(distinct(values(output.schedules))) == 5 && length(distinct(values(output.sink_jobs))) == 2
    error_message = "names that are alike once they fit stay apart"
  }

  assert {
    condition     = output.schedules["riot-kr-challenger"] == "staging-env-1-poll-riot-kr-challenger"
    error_message = "a name that fits stays as it is"
  }

  assert {
    condition     = output.state_bucket == "staging-state"
    error_message = "the state bucket is the one that was named"
  }
}
