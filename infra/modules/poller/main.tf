# The Cloud Run service that polls, one for all sources, and who may do what with it.

locals {
  timeout_seconds = var.deadline_seconds + 30
  caller_seconds  = local.timeout_seconds + 30
  service         = "${var.prefix}-poller"
  audience        = "https://${local.service}.${var.region}.${var.project_id}.invalid"
  bare_secrets    = { for r in var.references : r => r if !startswith(r, "projects/") }
  # Several versions of one secret are one right.
  named_secrets    = distinct([for r in var.references : replace(r, "/\\/versions\\/.*$/", "") if startswith(r, "projects/")])
  full_secrets     = { for r in local.named_secrets : r => split("/", r) if !can(regex("/locations/", r)) }
  regional_secrets = { for r in local.named_secrets : r => split("/", r) if can(regex("/locations/", r)) }
  environment = merge(var.worker, {
    RIFTLINE_CONNECTORS       = "gs://${var.state_bucket}/${trimsuffix(var.connectors_folder, "/")}"
    RIFTLINE_STATE            = "gs://${var.state_bucket}/${var.state_prefix}"
    RIFTLINE_DEADLINE         = "${var.deadline_seconds}s"
    RIFTLINE_AUDIENCE         = local.audience
    RIFTLINE_INVOKERS         = join(",", [var.scheduler_email, google_service_account.push.email])
    RIFTLINE_LOG_LEVEL        = var.log_level
    CLOUD_RUN_TIMEOUT_SECONDS = tostring(local.timeout_seconds)
    GOOGLE_CLOUD_PROJECT      = var.project_id
  }, length(var.overrides) == 0 ? {} : { RIFTLINE_OVERRIDES = jsonencode(var.overrides) })
}

resource "google_service_account" "poller" {
  account_id   = "${var.prefix}-poller"
  display_name = "riftline poller (${var.prefix})"
  description  = "Runs the polls: reads the secrets of sources, keeps their source offset objects, publishes to Kafka."
}

resource "google_cloud_run_v2_service" "poller" {
  name     = local.service
  location = var.region
  labels   = var.labels
  ingress  = var.ingress

  # It holds nothing; what must not be lost is in the buckets and in Kafka.
  deletion_protection = false

  # Tokens are made for this name, which is known before the service is there. The service's own address would make the
  # service depend on itself, since it checks the audience too.
  custom_audiences = [local.audience]

  template {
    service_account                  = google_service_account.poller.email
    timeout                          = "${local.timeout_seconds}s"
    max_instance_request_concurrency = var.concurrency
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    labels                           = var.labels

    scaling {
      min_instance_count = 0
      max_instance_count = var.max_instances
    }

    containers {
      image = var.image

      resources {
        limits            = var.resources
        cpu_idle          = true
        startup_cpu_boost = true
      }

      dynamic "env" {
        for_each = local.environment
        content {
          name  = env.key
          value = env.value
        }
      }

      # /ready dials the broker and reads the state bucket. Over Direct VPC egress the first connections of an instance
      # can take a minute and more, so the first request waits for this; 80 times 3 s are Cloud Run's limit of 240 s.
      startup_probe {
        period_seconds    = 3
        timeout_seconds   = 3
        failure_threshold = 80
        http_get {
          path = "/ready"
        }
      }

      # The process alone: a broker that is down is no reason to kill an instance.
      liveness_probe {
        period_seconds    = 60
        timeout_seconds   = 5
        failure_threshold = 3
        http_get {
          path = "/health"
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

  # A revision that starts before it may read its state, or before there is a broker, fails its startup probe.
  depends_on = [
    google_storage_managed_folder_iam_member.state,
    google_storage_managed_folder_iam_member.connectors,
    google_secret_manager_secret_iam_member.bare,
    google_secret_manager_secret_iam_member.full,
    google_secret_manager_regional_secret_iam_member.full,
    var.brokers,
  ]
}

resource "google_cloud_run_v2_service_iam_member" "invoker" {
  for_each = {
    scheduler = "serviceAccount:${var.scheduler_email}"
    push      = google_service_account.push.member
  }

  name     = google_cloud_run_v2_service.poller.name
  location = var.region
  role     = "roles/run.invoker"
  member   = each.value
}

# Replacing an object takes storage.objects.delete, which objectUser has; it ends at this folder.
resource "google_storage_managed_folder" "state" {
  bucket = var.state_bucket
  name   = "${var.state_prefix}/poll/"

  # The folder's policy goes, the source offset objects stay.
  force_destroy = true
}

resource "google_storage_managed_folder_iam_member" "state" {
  bucket         = var.state_bucket
  managed_folder = google_storage_managed_folder.state.name
  role           = "roles/storage.objectUser"
  member         = google_service_account.poller.member
}

resource "google_storage_managed_folder_iam_member" "connectors" {
  bucket         = var.state_bucket
  managed_folder = var.connectors_folder
  role           = "roles/storage.objectViewer"
  member         = google_service_account.poller.member
}

resource "google_secret_manager_secret_iam_member" "bare" {
  for_each = local.bare_secrets

  secret_id = lookup(var.secrets, each.key, each.key)
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.poller.member
}

resource "google_secret_manager_secret_iam_member" "full" {
  for_each = local.full_secrets

  project   = each.value[1]
  secret_id = each.value[3]
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.poller.member
}

resource "google_secret_manager_regional_secret_iam_member" "full" {
  for_each = local.regional_secrets

  project   = each.value[1]
  location  = each.value[3]
  secret_id = each.value[5]
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.poller.member
}

# When a version was added is no part of what secretAccessor shows. The role shows no version's payload.
resource "google_secret_manager_secret_iam_member" "bare_metadata" {
  for_each = { for name, part in local.bare_secrets : name => part if var.secret_metadata }

  secret_id = lookup(var.secrets, each.key, each.key)
  role      = "roles/secretmanager.viewer"
  member    = google_service_account.poller.member
}

resource "google_secret_manager_secret_iam_member" "full_metadata" {
  for_each = { for name, part in local.full_secrets : name => part if var.secret_metadata }

  project   = each.value[1]
  secret_id = each.value[3]
  role      = "roles/secretmanager.viewer"
  member    = google_service_account.poller.member
}

resource "google_secret_manager_regional_secret_iam_member" "full_metadata" {
  for_each = { for name, part in local.regional_secrets : name => part if var.secret_metadata }

  project   = each.value[1]
  location  = each.value[3]
  secret_id = each.value[5]
  role      = "roles/secretmanager.viewer"
  member    = google_service_account.poller.member
}
