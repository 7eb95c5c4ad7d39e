# What triggers polls: Cloud Scheduler by HTTP, or Cloud Scheduler by way of Pub/Sub.

resource "google_cloud_scheduler_job" "poll" {
  for_each = var.sources

  name        = "${var.prefix}-poll-${each.value.slug}"
  description = "Polls connector ${each.key}."
  region      = var.region
  schedule    = each.value.schedule
  time_zone   = each.value.timezone
  paused      = each.value.paused

  # Scheduler ignores it for Pub/Sub.
  attempt_deadline = each.value.pubsub ? null : "${local.caller_seconds}s"

  # The next run does what a failed one did not, and a retry could swallow it.
  retry_config {
    retry_count = 0
  }

  dynamic "http_target" {
    for_each = each.value.pubsub ? [] : [each.key]
    content {
      uri         = "${google_cloud_run_v2_service.poller.uri}/Poll"
      http_method = "POST"
      headers     = { "Content-Type" = "application/json" }
      body        = base64encode(jsonencode({ connector = each.key }))

      oidc_token {
        service_account_email = var.scheduler_email
        audience              = local.audience
      }
    }
  }

  dynamic "pubsub_target" {
    for_each = each.value.pubsub ? [each.key] : []
    content {
      topic_name = "projects/${var.project_id}/topics/${google_pubsub_topic.triggers.name}"
      data       = base64encode(jsonencode({ connector = each.key }))
      attributes = { connector = each.key }
    }
  }

  depends_on = [google_cloud_run_v2_service_iam_member.invoker]
}

# One topic for all connectors, each with a subscription of its own that takes its messages by their attribute: a source
# that fails slows only its own subscription down, and no topic comes or goes with a connector.
resource "google_pubsub_topic" "triggers" {
  #checkov:skip=CKV_GCP_83:Messages hold a connector's name and nothing else; Google's own encryption is enough for that.
  name   = "${var.prefix}-triggers"
  labels = var.labels
}

resource "google_pubsub_topic" "dead" {
  #checkov:skip=CKV_GCP_83:Messages hold a connector's name and nothing else; Google's own encryption is enough for that.
  name   = "${var.prefix}-triggers-dead"
  labels = var.labels
}

# Without it the messages of the dead-letter topic would be lost.
resource "google_pubsub_subscription" "dead" {
  name   = "${var.prefix}-triggers-dead"
  topic  = google_pubsub_topic.dead.name
  labels = var.labels

  message_retention_duration = "604800s"

  expiration_policy {
    ttl = ""
  }
}

resource "google_service_account" "push" {
  account_id   = "${var.prefix}-push"
  display_name = "riftline push (${var.prefix})"
  description  = "Whose tokens Pub/Sub sends to the poller."
}

resource "google_pubsub_subscription" "poll" {
  for_each = { for name, source in var.sources : name => source if source.pubsub }

  name   = "${var.prefix}-poll-${each.value.slug}"
  topic  = google_pubsub_topic.triggers.name
  filter = "attributes.connector = \"${each.key}\""
  labels = var.labels

  # A push subscription waits for its answer that long, and sends again then.
  ack_deadline_seconds = local.caller_seconds

  # A trigger that waited an hour is of no use: others came in the meantime.
  message_retention_duration = "3600s"

  push_config {
    push_endpoint = "${google_cloud_run_v2_service.poller.uri}/PollEvent"

    oidc_token {
      service_account_email = google_service_account.push.email
      audience              = local.audience
    }
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  dead_letter_policy {
    dead_letter_topic     = "projects/${var.project_id}/topics/${google_pubsub_topic.dead.name}"
    max_delivery_attempts = 5
  }

  # A paused connector keeps its subscription.
  expiration_policy {
    ttl = ""
  }

  depends_on = [google_cloud_run_v2_service_iam_member.invoker]
}

# Pub/Sub itself moves a message to the dead-letter topic: it takes it from the subscription and publishes it there.
resource "google_pubsub_topic_iam_member" "dead_letters" {
  topic  = google_pubsub_topic.dead.name
  role   = "roles/pubsub.publisher"
  member = "serviceAccount:service-${var.project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

resource "google_pubsub_subscription_iam_member" "dead_letters" {
  for_each = google_pubsub_subscription.poll

  subscription = each.value.name
  role         = "roles/pubsub.subscriber"
  member       = "serviceAccount:service-${var.project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}
