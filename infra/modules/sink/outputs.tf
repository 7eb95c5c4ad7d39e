output "job" {
  description = "The job's name."
  value       = google_cloud_run_v2_job.sink.name
}

output "account" {
  description = "The sink's account: what Kafka's access rules and the registry have to know."
  value       = google_service_account.sink.email
}

output "schedule" {
  description = "The Scheduler job."
  value       = google_cloud_scheduler_job.drain.name
}
