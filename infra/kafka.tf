# What connector files ask of Google's Kafka.

locals {
  kafka_topics = var.managed_kafka == null ? [] : keys(var.managed_kafka.topics)
  kafka_settings = var.managed_kafka == null ? {} : {
    CONNECT_BOOTSTRAP_SERVERS                 = "bootstrap.${var.managed_kafka.cluster}.${var.region}.managedkafka.${var.project_id}.cloud.goog:9092"
    CONNECT_SECURITY_PROTOCOL                 = "SASL_SSL"
    CONNECT_SASL_MECHANISM                    = "OAUTHBEARER"
    CONNECT_SASL_LOGIN_CALLBACK_HANDLER_CLASS = "com.google.cloud.hosted.kafka.auth.GcpLoginCallbackHandler"
    CONNECT_SASL_JAAS_CONFIG                  = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;"
  }

  # The topics of each file; those that topics.regex matches are among the cluster's.
  published = { for f, s in local.effective : f => [for topic in [trimspace(lookup(s, "kafka.topic", "")), trimspace(lookup(s, "riftline.marker.topic", ""))] : topic if topic != "" && local.kind[f] == "source"] }
  drained = { for f, s in local.effective : f => local.kind[f] != "sink" ? [] : distinct(concat(
    [for topic in split(",", lookup(s, "topics", "")) : trimspace(topic) if trimspace(topic) != ""],
    [for topic in local.kafka_topics : topic if try(can(regex("^(?:${s["topics.regex"]})$", topic)), false)],
  )) }
  dead = { for f, s in local.effective : f => [for topic in [trimspace(lookup(s, "errors.deadletterqueue.topic.name", ""))] : topic if topic != "" && local.kind[f] == "sink"] }

  missing_topics = var.managed_kafka == null ? [] : flatten([for f in keys(local.effective) : [
    for topic in distinct(concat(local.published[f], local.drained[f], local.dead[f])) :
    "${local.connectors_dir}/${f}: topic ${substr(topic, 0, 249)} is none of managed_kafka.topics: add it there, so that removing the file removes no topic" if !contains(local.kafka_topics, topic)
  ]])
}

module "kafka" {
  source = "./modules/kafka"
  count  = var.managed_kafka == null ? 0 : 1

  project_id = var.project_id
  region     = var.region
  labels     = local.labels

  cluster    = var.managed_kafka.cluster
  create     = var.managed_kafka.create
  subnet     = var.managed_kafka.subnet
  vcpus      = var.managed_kafka.vcpus
  memory_gib = var.managed_kafka.memory_gib
  topics     = var.managed_kafka.topics

  poller_email  = module.poller.account
  source_topics = toset(flatten([for f in keys(local.good) : local.published[f]]))
  sinks = { for f, name in local.good : name => {
    email              = module.sink[name].account
    topics             = local.drained[f]
    dead_letter_topics = local.dead[f]
  } if local.kind[f] == "sink" }
}
