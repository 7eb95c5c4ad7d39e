# One sink: its Cloud Run job, its identity, and what that may do.

locals {
  # A drain past its deadline saves what it has read, which takes 30 s at most; the rest is for starting and stopping.
  deadline_seconds = var.timeout_seconds - 120
  job              = "${var.prefix}-sink-${var.slug}"
  bare_secrets     = { for r in var.references : r => r if !startswith(r, "projects/") }
  # Several versions of one secret are one right.
  named_secrets    = distinct([for r in var.references : replace(r, "/\\/versions\\/.*$/", "") if startswith(r, "projects/")])
  full_secrets     = { for r in local.named_secrets : r => split("/", r) if !can(regex("/locations/", r)) }
  regional_secrets = { for r in local.named_secrets : r => split("/", r) if can(regex("/locations/", r)) }
  environment = merge(var.worker, {
    RIFTLINE_CONNECTORS  = "gs://${var.state_bucket}/${trimsuffix(var.connectors_folder, "/")}"
    RIFTLINE_CONNECTOR   = var.connector
    RIFTLINE_STATE       = "gs://${var.state_bucket}/${var.state_prefix}"
    RIFTLINE_DEADLINE    = "${local.deadline_seconds}s"
    RIFTLINE_LOG_LEVEL   = var.log_level
    GOOGLE_CLOUD_PROJECT = var.project_id
  }, length(var.overrides) == 0 ? {} : { RIFTLINE_OVERRIDES = jsonencode({ (var.connector) = var.overrides }) })
}

resource "google_service_account" "sink" {
  account_id   = "${var.prefix}-sink-${var.account}"
  display_name = "riftline sink ${var.connector} (${var.prefix})"
  description  = "Runs the drains of ${var.connector}: reads its topics, keeps its heads, creates objects in its archive."
}

resource "google_cloud_run_v2_job" "sink" {
  name     = local.job
  location = var.region
  labels   = var.labels

  # It holds nothing; what must not be lost is in the buckets and in Kafka.
  deletion_protection = false

  template {
    # Topic-partitions are dealt out to the tasks.
    task_count = var.tasks
    labels     = var.labels

    template {
      service_account       = google_service_account.sink.email
      timeout               = "${var.timeout_seconds}s"
      max_retries           = 3
      execution_environment = "EXECUTION_ENVIRONMENT_GEN2"

      containers {
        image = var.image

        resources {
          limits = var.resources
        }

        dynamic "env" {
          for_each = local.environment
          content {
            name  = env.key
            value = env.value
          }
        }
      }

      dynamic "vpc_access" {
        for_each = var.vpc == null ? [] : [var.vpc]
        content {
          egress = vpc_access.value.egress
          network_interfaces {
            network    = vpc_access.value.network
            subnetwork = vpc_access.value.subnetwork
            tags       = vpc_access.value.tags
          }
        }
      }
    }
  }
}

resource "google_cloud_scheduler_job" "drain" {
  name        = "${var.prefix}-drain-${var.slug}"
  description = "Drains connector ${var.connector}."
  region      = var.region
  schedule    = var.schedule
  time_zone   = var.timezone
  paused      = var.paused

  # The call only starts the job; a second start of the same run finds the first one ahead and ends.
  attempt_deadline = "60s"

  retry_config {
    retry_count          = 3
    min_backoff_duration = "10s"
    max_backoff_duration = "60s"
  }

  http_target {
    uri         = "https://run.googleapis.com/v2/projects/${var.project_id}/locations/${var.region}/jobs/${google_cloud_run_v2_job.sink.name}:run"
    http_method = "POST"

    # OAuth, since a Google API is called; a service of one's own is called with OIDC.
    oauth_token {
      service_account_email = var.scheduler_email
      scope                 = "https://www.googleapis.com/auth/cloud-platform"
    }
  }

  # A drain that starts before it may read and write what it needs fails.
  depends_on = [
    google_cloud_run_v2_job_iam_member.scheduler,
    google_storage_bucket_iam_member.archive,
    google_storage_managed_folder_iam_member.state,
    google_storage_managed_folder_iam_member.connectors,
    google_secret_manager_secret_iam_member.bare,
    google_secret_manager_secret_iam_member.full,
    google_secret_manager_regional_secret_iam_member.full,
  ]
}

resource "google_cloud_run_v2_job_iam_member" "scheduler" {
  name     = google_cloud_run_v2_job.sink.name
  location = var.region
  role     = "roles/run.invoker"
  member   = "serviceAccount:${var.scheduler_email}"
}

# The archive: create and read. A drain can neither overwrite nor delete what is archived.
resource "google_storage_bucket_iam_member" "archive" {
  for_each = var.archive_bucket == null ? toset([]) : toset(["roles/storage.objectCreator", "roles/storage.objectViewer"])

  bucket = var.archive_bucket
  role   = each.key
  member = google_service_account.sink.member
}

# Replacing a head takes storage.objects.delete, which objectUser has; it ends at this sink's folder.
resource "google_storage_managed_folder" "state" {
  bucket = var.state_bucket
  name   = "${var.state_prefix}/drain/${var.connector}/"

  # The folder's policy goes, the heads stay: a sink that comes back goes on where it was.
  force_destroy = true
}

resource "google_storage_managed_folder_iam_member" "state" {
  bucket         = var.state_bucket
  managed_folder = google_storage_managed_folder.state.name
  role           = "roles/storage.objectUser"
  member         = google_service_account.sink.member
}

resource "google_storage_managed_folder_iam_member" "connectors" {
  bucket         = var.state_bucket
  managed_folder = var.connectors_folder
  role           = "roles/storage.objectViewer"
  member         = google_service_account.sink.member
}

resource "google_secret_manager_secret_iam_member" "bare" {
  for_each = local.bare_secrets

  secret_id = lookup(var.secrets, each.key, each.key)
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.sink.member
}

resource "google_secret_manager_secret_iam_member" "full" {
  for_each = local.full_secrets

  project   = each.value[1]
  secret_id = each.value[3]
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.sink.member
}

resource "google_secret_manager_regional_secret_iam_member" "full" {
  for_each = local.regional_secrets

  project   = each.value[1]
  location  = each.value[3]
  secret_id = each.value[5]
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.sink.member
}

# When a version was added is no part of what secretAccessor shows. The role shows no version's payload.
resource "google_secret_manager_secret_iam_member" "bare_metadata" {
  for_each = { for name, part in local.bare_secrets : name => part if var.secret_metadata }

  secret_id = lookup(var.secrets, each.key, each.key)
  role      = "roles/secretmanager.viewer"
  member    = google_service_account.sink.member
}

resource "google_secret_manager_secret_iam_member" "full_metadata" {
  for_each = { for name, part in local.full_secrets : name => part if var.secret_metadata }

  project   = each.value[1]
  secret_id = each.value[3]
  role      = "roles/secretmanager.viewer"
  member    = google_service_account.sink.member
}

resource "google_secret_manager_regional_secret_iam_member" "full_metadata" {
  for_each = { for name, part in local.regional_secrets : name => part if var.secret_metadata }

  project   = each.value[1]
  location  = each.value[3]
  secret_id = each.value[5]
  role      = "roles/secretmanager.viewer"
  member    = google_service_account.sink.member
}
