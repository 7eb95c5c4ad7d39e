output "state_bucket" {
  description = "Name of the state bucket."
  value       = google_storage_bucket.state.name
}

output "connectors_folder" {
  description = "Managed folder of the connector files."
  value       = google_storage_managed_folder.connectors.name
}

output "archive_buckets" {
  description = "Names of the archive's buckets, created or not, each by itself: what waits for one reads it here."
  value       = merge({ for name, bucket in var.archive_buckets : name => name }, { for name, bucket in google_storage_bucket.archive : name => bucket.name })
}
