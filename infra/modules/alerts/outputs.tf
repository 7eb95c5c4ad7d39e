output "policies" {
  description = "The alert policies by their display names."
  value = sort(concat(
    [for p in google_monitoring_alert_policy.no_success : p.display_name],
    [for p in google_monitoring_alert_policy.undrained : p.display_name],
    [for p in google_monitoring_alert_policy.counted : p.display_name],
    [for p in google_monitoring_alert_policy.key_age : p.display_name],
    [google_monitoring_alert_policy.pubsub_dead_letters.display_name],
  ))
}
