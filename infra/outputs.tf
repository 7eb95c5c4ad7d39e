output "connectors" {
  description = "What the connector files became, by connector name."
  value = merge(
    { for name, source in local.sources : name => {
      kind     = "source"
      schedule = "${source.schedule} ${source.timezone}"
      paused   = source.paused
      trigger  = source.pubsub ? "pubsub" : "http"
    } },
    { for name, sink in local.sinks : name => {
      kind     = "sink"
      schedule = "${sink.schedule} ${sink.timezone}"
      paused   = sink.paused
      trigger  = "http"
    } },
  )

  precondition {
    condition     = length(local.all_problems) == 0
    error_message = "${length(local.all_problems)} problem(s) in connector files and settings:\n- ${join("\n- ", local.all_problems)}"
  }
}

output "poller_uri" {
  description = "The poller's address."
  value       = module.poller.uri
}

output "poller_service" {
  description = "The poller's service."
  value       = module.poller.service
}

output "sink_jobs" {
  description = "The sinks' jobs, by connector name."
  value       = { for name, sink in module.sink : name => sink.job }
}

output "accounts" {
  description = "The accounts that Kafka's access rules and the schema registry have to know: the poller's, and each sink's by connector name."
  value       = merge({ poller = module.poller.account }, { for name, sink in module.sink : name => sink.account })
}

output "schedules" {
  description = "The Scheduler jobs, by connector name."
  value       = merge(module.poller.schedules, { for name, sink in module.sink : name => sink.schedule })
}

output "state_bucket" {
  description = "The state bucket: RIFTLINE_STATE is gs://<it>/riftline, RIFTLINE_CONNECTORS is gs://<it>/connectors."
  value       = module.storage.state_bucket
}

output "secrets_to_fill" {
  description = "The secrets that were created. Each needs a version before it can be read: gcloud secrets versions add NAME --data-file=-."
  value       = sort(keys(local.secret_ids))
}
