output "uri" {
  description = "The service's address."
  value       = google_cloud_run_v2_service.poller.uri
}

output "service" {
  description = "The service's name."
  value       = google_cloud_run_v2_service.poller.name
}

output "account" {
  description = "The poller's account: what Kafka's access rules and the registry have to know."
  value       = google_service_account.poller.email
}

output "schedules" {
  description = "The Scheduler jobs, by connector name."
  value       = { for name, job in google_cloud_scheduler_job.poll : name => job.name }
}

output "dead_letter_subscription" {
  description = "The subscription of the Pub/Sub dead-letter topic."
  value       = google_pubsub_subscription.dead.name
}
