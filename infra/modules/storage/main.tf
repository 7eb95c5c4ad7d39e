# The buckets, and the connector files in them. Nothing here goes away because a connector does.

resource "google_storage_bucket" "state" {
  #checkov:skip=CKV_GCP_62:Who reads and writes it is in Cloud Audit Logs, where data access logs are switched on for a project.
  #checkov:skip=CKV_GCP_78:An old generation of a source offset object or a head publishes or archives again; see versioning below.
  name     = var.state_bucket
  location = var.location
  labels   = var.labels

  public_access_prevention    = "enforced"
  uniform_bucket_level_access = true
  force_destroy               = false

  # Every poll that publishes and every drain that archives overwrites a small object. Old generations would be billed,
  # and going back to one of them publishes or archives again; so there is neither versioning nor soft delete.
  versioning {
    enabled = false
  }

  soft_delete_policy {
    retention_duration_seconds = 0
  }
}

resource "google_storage_bucket" "archive" {
  #checkov:skip=CKV_GCP_62:Who reads and writes it is in Cloud Audit Logs, where data access logs are switched on for a project.
  #checkov:skip=CKV_GCP_78:Objects are written once and never overwritten, and soft delete keeps what is deleted by mistake.
  for_each = { for name, bucket in var.archive_buckets : name => bucket if bucket.create }

  name          = each.key
  location      = coalesce(each.value.location, var.location)
  storage_class = each.value.storage_class
  labels        = var.labels

  public_access_prevention    = "enforced"
  uniform_bucket_level_access = true
  force_destroy               = false

  # An object of the archive is written once and never overwritten, so there is nothing for versioning to keep.
  versioning {
    enabled = false
  }

  # What a person deletes by mistake can be had back.
  soft_delete_policy {
    retention_duration_seconds = each.value.soft_delete_days * 86400
  }
}

# The functions read their connector file at every run and hold it for five minutes, so a changed file needs no deploy.
resource "google_storage_managed_folder" "connectors" {
  bucket = google_storage_bucket.state.name
  name   = "connectors/"

  # The folder's policy goes, the files stay.
  force_destroy = true
}

resource "google_storage_bucket_object" "connector" {
  for_each = var.connector_files

  bucket       = google_storage_bucket.state.name
  name         = "${google_storage_managed_folder.connectors.name}${each.key}.json"
  content      = each.value
  content_type = "application/json"
}
