# Many sources and sinks: each form of schedule, of a reference and of a file.

mock_provider "google" {
  source = "./tests/mocks/plan"
}

variables {
  project_id     = "my-project"
  region         = "europe-west1"
  poller_image   = "europe-west1-docker.pkg.dev/my-project/riftline/poller:0123abc"
  sink_image     = "europe-west1-docker.pkg.dev/my-project/riftline/sink:0123abc"
  connectors_dir = "./tests/connectors/many"
  labels         = { team = "data" }

  worker_settings = {
    CONNECT_BOOTSTRAP_SERVERS = "broker:9092"
    CONNECT_SECURITY_PROTOCOL = "SASL_SSL"
    CONNECT_SASL_MECHANISM    = "PLAIN"
  }

  worker_secrets   = { CONNECT_SASL_JAAS_CONFIG = "kafka-jaas" }
  existing_secrets = ["kafka-jaas"]

  overrides = {
    gcs-sink   = { "value.converter.schema.registry.url" = "https://registry.example:8081" }
    challenger = { "http.client.read.timeout.millis" = "5000" }
  }

  alerts = {
    notification_channels = ["projects/my-project/notificationChannels/1"]
    undrained_hours       = 48
    topic_retention_hours = 24
    key_max_age_days      = 30
  }

  archive_buckets = {
    riftline-archive = { location = "EU", storage_class = "NEARLINE", soft_delete_days = 30 }
    existing-archive = { create = false }
  }
}

run "plan" {
  command = plan

  assert {
    condition = { for name, c in output.connectors : name => c.schedule } == {
      challenger  = "* * * * * UTC"
      master      = "0 */6 * * * Asia/Seoul"
      nightly     = "30 4 * * mon-fri Europe/Berlin"
      grandmaster = "0 * * * * UTC"
      gcs-sink    = "0 * * * * UTC"
      other       = "*/15 * * * * UTC"
      own-key     = "0 * * * * UTC"
    }
    error_message = "schedules come from intervals, cron lines and time zones"
  }

  assert {
    condition     = output.secrets_to_fill == tolist(["archive-key", "registry-user", "riot-api-key"])
    error_message = "bare references become secrets, once each; existing ones and full resource names do not"
  }
}
