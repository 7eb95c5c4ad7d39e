# Alerts on what the runs say of themselves: each poll and each drain logs one line, its summary, and the metrics below
# read it. A test keeps the fields that they read in step with what the functions log.

locals {
  poll_logs  = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${var.service}\" AND jsonPayload.message=\"poll\""
  drain_logs = "resource.type=\"cloud_run_job\" AND resource.labels.job_name=~\"^${var.prefix}-sink-\" AND jsonPayload.message=\"drain\""

  metrics = {
    polls = {
      filter      = local.poll_logs
      description = "Polls, by connector and outcome."
      labels      = ["connector", "outcome"]
    }
    drains = {
      filter      = local.drain_logs
      description = "Drains, one for each task, by connector and outcome."
      labels      = ["connector", "outcome"]
    }
    drains-complete = {
      # A drain that leaves nothing has archived all that the topic held when it began.
      filter      = "${local.drain_logs} AND jsonPayload.left=0 AND jsonPayload.outcome=(\"drained\" OR \"nothing_new\")"
      description = "Drains after which nothing was left that was there when they began, by connector and task."
      labels      = ["connector", "task"]
    }
    kafka-dead-letters = {
      filter      = "${local.drain_logs} AND jsonPayload.dead_letters>0"
      description = "Drains that sent records to a Kafka dead-letter topic, by connector."
      labels      = ["connector"]
    }
    records-lost = {
      filter      = "${local.drain_logs} AND jsonPayload.lost>0"
      description = "Drains that found records gone before they were archived, by connector."
      labels      = ["connector"]
    }
  }

  of_polls  = "metric.type=\"logging.googleapis.com/user/${google_logging_metric.run["polls"].name}\" AND resource.type=\"cloud_run_revision\""
  of_drains = { for name, metric in google_logging_metric.run : name => "metric.type=\"logging.googleapis.com/user/${metric.name}\" AND resource.type=\"cloud_run_job\"" if name != "polls" }

  good_polls  = "metric.labels.outcome=one_of(\"published\",\"nothing_new\",\"another_run\")"
  bad_polls   = "metric.labels.outcome=one_of(\"upstream\",\"unavailable\",\"refused\",\"schema_refused\",\"stopped\",\"unknown\")"
  good_drains = "metric.labels.outcome=one_of(\"drained\",\"nothing_new\",\"another_run\",\"deadline\")"
  bad_drains  = "metric.labels.outcome=one_of(\"failed\",\"misconfigured\",\"stopped\")"

  # Runs that are too far apart for an absence to be told from the time between them: one that fails is an alert there.
  rare_polls      = "metric.labels.outcome=one_of(\"upstream\",\"unavailable\",\"refused\",\"schema_refused\",\"stopped\",\"unknown\",\"unauthorized\",\"deferred\")"
  behind_drains   = "metric.labels.outcome=one_of(\"failed\",\"misconfigured\",\"stopped\",\"deadline\")"
  of_connector    = { for name, c in var.connectors : name => "metric.labels.connector=\"${name}\"" }
  good_runs       = { for name, c in var.connectors : name => c.kind == "source" ? "${local.of_polls} AND ${local.good_polls} AND ${local.of_connector[name]}" : "${local.of_drains["drains"]} AND ${local.good_drains} AND ${local.of_connector[name]}" }
  rare_no_success = { for name, c in var.connectors : name => local.silence[name] <= c.period_seconds }
  rare_undrained  = { for name, seconds in local.undrained : name => seconds <= var.connectors[name].period_seconds }

  # Cloud Monitoring notices an absence of at most 23 hours and a half, in whole minutes.
  longest = 84600
  silence = { for name, c in var.connectors : name => min(local.longest, max(600, ceil((c.period_seconds * var.after_runs + c.run_seconds) / 60) * 60)) }
  # Half of what the topic keeps leaves the other half to do something about it.
  undrained = { for name, c in var.connectors : name => min(local.longest, max(var.undrained_seconds, c.period_seconds * 2), floor(var.topic_retention_seconds / 120) * 60) if c.kind == "sink" }

  # What is noticed by counting: more than so many in so long.
  counted = {
    failures-of-polls = {
      filter = "${local.of_polls} AND ${local.bad_polls}", above = 2, seconds = 900, severity = "ERROR", page = "failures"
      says   = "Polls of a connector fail"
    }
    failures-of-drains = {
      filter = "${local.of_drains["drains"]} AND ${local.bad_drains}", above = 0, seconds = 3600, severity = "ERROR", page = "failures"
      says   = "Drains of a connector fail"
    }
    key-refused = {
      filter = "${local.of_polls} AND metric.labels.outcome=\"unauthorized\"", above = 1, seconds = 3600, severity = "CRITICAL", page = "key-refused"
      says   = "The API refused a connector's key twice"
    }
    rate-limited = {
      filter = "${local.of_polls} AND metric.labels.outcome=\"deferred\"", above = var.deferrals_per_hour, seconds = 3600, severity = "WARNING", page = "rate-limited"
      says   = "The API's rate limit defers a connector's polls"
    }
    kafka-dead-letters = {
      filter = local.of_drains["kafka-dead-letters"], above = 0, seconds = 3600, severity = "WARNING", page = "kafka-dead-letters"
      says   = "Records went to a Kafka dead-letter topic"
    }
    records-lost = {
      filter = local.of_drains["records-lost"], above = 0, seconds = 3600, severity = "CRITICAL", page = "records-lost"
      says   = "Records were gone before they were archived"
    }
  }
}

resource "google_logging_metric" "run" {
  for_each = local.metrics

  name        = "${var.prefix}-${each.key}"
  description = each.value.description
  filter      = each.value.filter

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"

    dynamic "labels" {
      for_each = each.value.labels
      content {
        key        = labels.value
        value_type = "STRING"
      }
    }
  }

  label_extractors = { for label in each.value.labels : label => "EXTRACT(jsonPayload.${label})" }
}

# No success within so many schedules. It needs one success to begin: only then there is a series. Whether that ends or goes
# on with zeros when there are no more log lines is not documented, so there is a condition for each.
resource "google_monitoring_alert_policy" "no_success" {
  for_each = local.silence

  display_name          = "${var.prefix}: no success of ${each.key}"
  combiner              = "OR"
  severity              = "CRITICAL"
  enabled               = !var.connectors[each.key].paused
  notification_channels = var.notification_channels
  user_labels           = var.labels

  dynamic "conditions" {
    for_each = local.rare_no_success[each.key] ? [] : [each.value]
    content {
      display_name = "no successful run for ${each.value / 60} minutes"
      condition_absent {
        filter   = local.good_runs[each.key]
        duration = "${each.value}s"
        aggregations {
          alignment_period     = "300s"
          per_series_aligner   = "ALIGN_COUNT"
          cross_series_reducer = "REDUCE_SUM"
          group_by_fields      = ["metric.label.connector"]
        }
      }
    }
  }

  dynamic "conditions" {
    for_each = local.rare_no_success[each.key] ? [] : [each.value]
    content {
      display_name = "no run counted as successful in ${each.value / 60} minutes"
      condition_threshold {
        filter          = local.good_runs[each.key]
        comparison      = "COMPARISON_LT"
        threshold_value = 1
        duration        = "0s"
        aggregations {
          alignment_period     = "${each.value}s"
          per_series_aligner   = "ALIGN_DELTA"
          cross_series_reducer = "REDUCE_SUM"
          group_by_fields      = ["metric.label.connector"]
        }
      }
    }
  }

  dynamic "conditions" {
    for_each = local.rare_no_success[each.key] ? [each.value] : []
    content {
      display_name = "a run failed"
      condition_threshold {
        filter          = var.connectors[each.key].kind == "source" ? "${local.of_polls} AND ${local.rare_polls} AND ${local.of_connector[each.key]}" : "${local.of_drains["drains"]} AND ${local.bad_drains} AND ${local.of_connector[each.key]}"
        comparison      = "COMPARISON_GT"
        threshold_value = 0
        duration        = "0s"
        aggregations {
          alignment_period     = "3600s"
          per_series_aligner   = "ALIGN_DELTA"
          cross_series_reducer = "REDUCE_SUM"
          group_by_fields      = ["metric.label.connector"]
        }
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "${local.rare_no_success[each.key] ? "A run of ${each.key} failed, and the next one is far off" : "${each.key} had no successful run for ${each.value / 60} minutes"}. What to do: ${var.playbooks_url}/no-success.md"
  }
}

# The oldest record that is not archived is younger than the last drain that left nothing.
resource "google_monitoring_alert_policy" "undrained" {
  for_each = local.undrained

  display_name          = "${var.prefix}: ${each.key} falls behind"
  combiner              = "OR"
  severity              = "CRITICAL"
  enabled               = !var.connectors[each.key].paused
  notification_channels = var.notification_channels
  user_labels           = var.labels

  dynamic "conditions" {
    for_each = local.rare_undrained[each.key] ? [] : [each.value]
    content {
      display_name = "a record may have waited for ${each.value / 60} minutes"
      condition_absent {
        filter   = "${local.of_drains["drains-complete"]} AND ${local.of_connector[each.key]}"
        duration = "${each.value}s"
        aggregations {
          alignment_period     = "300s"
          per_series_aligner   = "ALIGN_COUNT"
          cross_series_reducer = "REDUCE_SUM"
          group_by_fields      = ["metric.label.connector", "metric.label.task"]
        }
      }
    }
  }

  dynamic "conditions" {
    for_each = local.rare_undrained[each.key] ? [] : [each.value]
    content {
      display_name = "no drain counted as complete in ${each.value / 60} minutes"
      condition_threshold {
        filter          = "${local.of_drains["drains-complete"]} AND ${local.of_connector[each.key]}"
        comparison      = "COMPARISON_LT"
        threshold_value = 1
        duration        = "0s"
        aggregations {
          alignment_period     = "${each.value}s"
          per_series_aligner   = "ALIGN_DELTA"
          cross_series_reducer = "REDUCE_SUM"
          group_by_fields      = ["metric.label.connector", "metric.label.task"]
        }
      }
    }
  }

  dynamic "conditions" {
    for_each = local.rare_undrained[each.key] ? [each.value] : []
    content {
      display_name = "a drain did not catch up"
      condition_threshold {
        filter          = "${local.of_drains["drains"]} AND ${local.behind_drains} AND ${local.of_connector[each.key]}"
        comparison      = "COMPARISON_GT"
        threshold_value = 0
        duration        = "0s"
        aggregations {
          alignment_period     = "3600s"
          per_series_aligner   = "ALIGN_DELTA"
          cross_series_reducer = "REDUCE_SUM"
          group_by_fields      = ["metric.label.connector"]
        }
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "${local.rare_undrained[each.key] ? "A drain of ${each.key} did not catch up with its topics, and the next one is far off" : "No drain of ${each.key} caught up with its topics for ${each.value / 60} minutes"}. What to do: ${var.playbooks_url}/undrained.md"
  }
}

resource "google_monitoring_alert_policy" "counted" {
  for_each = local.counted

  display_name          = "${var.prefix}: ${each.value.says}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = var.notification_channels
  user_labels           = var.labels

  conditions {
    display_name = "more than ${each.value.above} in ${each.value.seconds / 60} minutes"
    condition_threshold {
      filter          = each.value.filter
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.above
      duration        = "0s"
      aggregations {
        alignment_period     = "${each.value.seconds}s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_SUM"
        group_by_fields      = ["metric.label.connector"]
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "${each.value.says} ($${metric.label.connector}). What to do: ${var.playbooks_url}/${each.value.page}.md"
  }
}

# How old the oldest key is that a run used. Lines of runs that do not know it have no such field and are not counted.
resource "google_logging_metric" "key_age" {
  count = var.key_max_age_days > 0 ? 1 : 0

  name            = "${var.prefix}-key-age"
  description     = "Days since the oldest version of a secret was added that a run used, by connector."
  filter          = "((${local.poll_logs}) OR (${local.drain_logs})) AND jsonPayload.oldest_key_days>=0"
  value_extractor = "EXTRACT(jsonPayload.oldest_key_days)"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = "d"

    labels {
      key        = "connector"
      value_type = "STRING"
    }
  }

  label_extractors = { connector = "EXTRACT(jsonPayload.connector)" }

  # From a tenth of a day to ten years. The alert reads means, which do not depend on them.
  bucket_options {
    exponential_buckets {
      num_finite_buckets = 30
      growth_factor      = 1.5
      scale              = 0.1
    }
  }
}

# A mean is exact where a percentile is guessed from buckets, and the runs of an hour use the same versions.
resource "google_monitoring_alert_policy" "key_age" {
  for_each = { for kind, resource in { polls = "cloud_run_revision", drains = "cloud_run_job" } : kind => resource if var.key_max_age_days > 0 }

  display_name          = "${var.prefix}: A key of a connector is old (${each.key})"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = var.notification_channels
  user_labels           = var.labels

  conditions {
    display_name = "a version older than ${var.key_max_age_days} days"
    condition_threshold {
      filter          = "metric.type=\"logging.googleapis.com/user/${google_logging_metric.key_age[0].name}\" AND resource.type=\"${each.value}\""
      comparison      = "COMPARISON_GT"
      threshold_value = var.key_max_age_days
      duration        = "0s"
      aggregations {
        alignment_period     = "3600s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_MEAN"
        group_by_fields      = ["metric.label.connector"]
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "A key of $${metric.label.connector} was added more than ${var.key_max_age_days} days ago. What to do: ${var.playbooks_url}/key-age.md"
  }
}

resource "google_monitoring_alert_policy" "pubsub_dead_letters" {
  display_name          = "${var.prefix}: Triggers went to the Pub/Sub dead-letter topic"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = var.notification_channels
  user_labels           = var.labels

  conditions {
    display_name = "messages in ${var.dead_letter_subscription}"
    condition_threshold {
      filter          = "metric.type=\"pubsub.googleapis.com/subscription/num_undelivered_messages\" AND resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"${var.dead_letter_subscription}\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"
      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "Triggers could not be delivered. What to do: ${var.playbooks_url}/pubsub-dead-letters.md"
  }
}

resource "google_monitoring_dashboard" "riftline" {
  dashboard_json = jsonencode({
    displayName = "riftline (${var.prefix})"
    mosaicLayout = {
      columns = 48
      tiles = [for i, chart in [
        { title = "Polls by outcome", filter = local.of_polls, by = ["metric.label.connector", "metric.label.outcome"] },
        { title = "Drains by outcome", filter = local.of_drains["drains"], by = ["metric.label.connector", "metric.label.outcome"] },
        { title = "Drains that caught up", filter = local.of_drains["drains-complete"], by = ["metric.label.connector", "metric.label.task"] },
        { title = "Drains with dead letters", filter = local.of_drains["kafka-dead-letters"], by = ["metric.label.connector"] },
        ] : {
        xPos = (i % 2) * 24, yPos = floor(i / 2) * 16, width = 24, height = 16
        widget = {
          title = chart.title
          xyChart = {
            dataSets = [{
              plotType = "STACKED_BAR"
              timeSeriesQuery = { timeSeriesFilter = {
                filter = chart.filter
                aggregation = {
                  alignmentPeriod    = "300s"
                  perSeriesAligner   = "ALIGN_DELTA"
                  crossSeriesReducer = "REDUCE_SUM"
                  groupByFields      = chart.by
                }
              } }
            }]
          }
        }
      }]
    }
  })
}
