output "ready" {
  description = "What has to be there before the poller runs: cluster, topics, and what its account may do."
  value = concat(
    [local.cluster],
    [for topic in google_managed_kafka_topic.topic : topic.id],
    [for acl in google_managed_kafka_acl.acl : acl.id],
    [for member in google_project_iam_member.client : member.id],
  )
}
