locals {
  # riftline's own part of the state bucket, beside connectors/.
  state_prefix    = "riftline"
  bucket_location = coalesce(var.bucket_location, var.region)
  labels          = merge({ app = var.prefix }, var.labels)

  # Bare references become secrets, each once, unless it is there already; full resource names are only granted.
  bare_secrets = toset([for r in distinct(concat(local.worker_refs, flatten([for f in keys(local.good) : local.references[f]]))) :
    r if can(regex(local.bare_reference, r)) && !contains(var.existing_secrets, r)
  ])
  secret_metadata   = var.alerts.enabled && var.alerts.key_max_age_days > 0
  secret_ids        = { for name, secret in google_secret_manager_secret.reference : name => secret.secret_id }
  source_references = distinct(flatten([for f in keys(local.good) : local.references[f] if local.kind[f] == "source"]))
}

data "google_project" "this" {
  project_id = var.project_id
}

# Only the secret itself: its versions are added with gcloud, so that no credential is in Terraform's state.
resource "google_secret_manager_secret" "reference" {
  for_each = local.bare_secrets

  secret_id = each.key
  labels    = local.labels

  replication {
    dynamic "auto" {
      for_each = length(var.secret_locations) == 0 ? [1] : []
      content {}
    }

    dynamic "user_managed" {
      for_each = length(var.secret_locations) == 0 ? [] : [1]
      content {
        dynamic "replicas" {
          for_each = var.secret_locations
          content {
            location = replicas.value
          }
        }
      }
    }
  }
}

# Whose tokens Cloud Scheduler sends: to the poller and to run.googleapis.com.
resource "google_service_account" "scheduler" {
  account_id   = "${var.prefix}-scheduler"
  display_name = "riftline scheduler (${var.prefix})"
  description  = "Whose tokens Cloud Scheduler sends: it may invoke the poller and run the sinks' jobs."
}

module "storage" {
  source = "./modules/storage"

  state_bucket    = coalesce(var.state_bucket, "${var.project_id}-${var.prefix}-state")
  archive_buckets = var.archive_buckets
  location        = local.bucket_location
  connector_files = { for f, name in local.good : name => file("${local.connectors_dir}/${f}") }
  labels          = local.labels
}

module "poller" {
  source = "./modules/poller"

  project_id     = var.project_id
  project_number = data.google_project.this.number
  region         = var.region
  prefix         = var.prefix
  labels         = local.labels

  image            = var.poller_image
  sources          = local.sources
  overrides        = { for name, keys in var.overrides : name => keys if contains(keys(local.sources), name) }
  worker           = local.worker_values
  references       = toset(concat(local.source_references, local.worker_refs))
  secrets          = local.secret_ids
  secret_metadata  = local.secret_metadata
  scheduler_email  = google_service_account.scheduler.email
  deadline_seconds = var.poll_deadline_seconds
  max_instances    = var.poller_max_instances
  concurrency      = var.poller_concurrency
  resources        = var.poller_resources
  log_level        = var.log_level

  state_bucket      = module.storage.state_bucket
  state_prefix      = local.state_prefix
  connectors_folder = module.storage.connectors_folder

  ingress = var.ingress
  vpc     = var.vpc
  brokers = flatten(module.kafka[*].ready)
}

module "sink" {
  source   = "./modules/sink"
  for_each = local.sinks

  project_id = var.project_id
  region     = var.region
  prefix     = var.prefix
  labels     = local.labels

  connector = each.key
  slug      = each.value.slug
  account   = each.value.account
  schedule  = each.value.schedule
  timezone  = each.value.timezone
  paused    = each.value.paused
  tasks     = each.value.tasks

  image           = var.sink_image
  overrides       = lookup(var.overrides, each.key, {})
  worker          = local.worker_values
  references      = toset(concat(each.value.references, local.worker_refs))
  secrets         = local.secret_ids
  secret_metadata = local.secret_metadata
  scheduler_email = google_service_account.scheduler.email
  archive_bucket  = each.value.bucket == null ? null : module.storage.archive_buckets[each.value.bucket]
  timeout_seconds = var.drain_timeout_seconds
  resources       = var.sink_resources
  log_level       = var.log_level

  state_bucket      = module.storage.state_bucket
  state_prefix      = local.state_prefix
  connectors_folder = module.storage.connectors_folder

  vpc = var.vpc
}

module "alerts" {
  source = "./modules/alerts"
  count  = var.alerts.enabled ? 1 : 0

  prefix  = var.prefix
  labels  = local.labels
  service = module.poller.service
  connectors = merge(
    { for name, c in local.sources : name => { kind = "source", period_seconds = c.period, run_seconds = var.poll_deadline_seconds, paused = c.paused } },
    { for name, c in local.sinks : name => { kind = "sink", period_seconds = c.period, run_seconds = var.drain_timeout_seconds, paused = c.paused } },
  )
  dead_letter_subscription = module.poller.dead_letter_subscription

  notification_channels   = var.alerts.notification_channels
  after_runs              = var.alerts.after_runs
  undrained_seconds       = floor(var.alerts.undrained_hours * 60) * 60
  topic_retention_seconds = var.alerts.topic_retention_hours * 3600
  deferrals_per_hour      = var.alerts.deferrals_per_hour
  key_max_age_days        = var.alerts.key_max_age_days
  playbooks_url           = var.alerts.playbooks_url
}
