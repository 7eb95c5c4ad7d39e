# Google's Managed Service for Apache Kafka: the cluster, the topics, and who may do what with them. Topics come from
# variables and not from connector files, and neither they nor the cluster are ever destroyed by Terraform.

locals {
  cluster = var.create ? google_managed_kafka_cluster.cluster[0].cluster_id : var.cluster
  members = merge({ poller = var.poller_email }, { for name, sink in var.sinks : "sink/${name}" => sink.email })

  # Operations by resource and member; addresses of accounts are not known before they are made. A poll publishes, and looks a marker up in the topic that it went to; a drain
  # reads, and commits to the group that Kafka Connect used.
  rights = concat(
    flatten([for topic in var.source_topics : [for operation in ["WRITE", "READ", "DESCRIBE", "DESCRIBE_CONFIGS"] :
      { resource = "topic/${topic}", member = "poller", operation = operation }
    ]]),
    [for operation in ["WRITE", "DESCRIBE"] : { resource = "transactionalIdPrefixed/riftline-", member = "poller", operation = operation }],
    [for operation in ["READ", "DESCRIBE"] : { resource = "consumerGroupPrefixed/riftline-", member = "poller", operation = operation }],
    flatten([for name, sink in var.sinks : concat(
      flatten([for topic in sink.topics : [for operation in ["READ", "DESCRIBE", "DESCRIBE_CONFIGS"] :
        { resource = "topic/${topic}", member = "sink/${name}", operation = operation }
      ]]),
      flatten([for topic in sink.dead_letter_topics : [for operation in ["WRITE", "DESCRIBE"] :
        { resource = "topic/${topic}", member = "sink/${name}", operation = operation }
      ]]),
      [for operation in ["READ", "DESCRIBE"] : { resource = "consumerGroup/connect-${name}", member = "sink/${name}", operation = operation }],
    )]),
  )
  resources = distinct([for r in local.rights : r.resource])
}

resource "google_managed_kafka_cluster" "cluster" {
  count = var.create ? 1 : 0

  cluster_id = var.cluster
  location   = var.region
  labels     = var.labels

  capacity_config {
    vcpu_count   = tostring(var.vcpus)
    memory_bytes = tostring(var.memory_gib * 1024 * 1024 * 1024)
  }

  gcp_config {
    access_config {
      network_configs {
        subnet = var.subnet
      }
    }
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "google_managed_kafka_topic" "topic" {
  for_each = var.topics

  topic_id           = each.key
  cluster            = local.cluster
  location           = var.region
  partition_count    = each.value.partitions
  replication_factor = 3
  configs            = each.value.configs

  lifecycle {
    prevent_destroy = true
  }
}

# One for each resource of Kafka, since its rules belong together.
resource "google_managed_kafka_acl" "acl" {
  for_each = toset(local.resources)

  acl_id   = each.key
  cluster  = local.cluster
  location = var.region

  dynamic "acl_entries" {
    for_each = { for r in local.rights : "${r.member} ${r.operation}" => r... if r.resource == each.key }
    content {
      principal       = "User:${local.members[acl_entries.value[0].member]}"
      operation       = acl_entries.value[0].operation
      permission_type = "ALLOW"
      host            = "*"
    }
  }

  depends_on = [google_managed_kafka_topic.topic]
}

# The role opens the cluster's door; the rules above say what may be done inside. It exists for a project only.
resource "google_project_iam_member" "client" {
  for_each = local.members

  project = var.project_id
  role    = "roles/managedkafka.client"
  member  = "serviceAccount:${each.value}"
}
