# Where

variable "project_id" {
  description = "The project that everything is created in."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is a project's id (6 to 30 of a-z 0-9 -, beginning with a letter), not its name or number."
  }
}

variable "region" {
  description = "The region of service, jobs and schedules; buckets are in it too, unless bucket_location says otherwise."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]{1,2}$", var.region))
    error_message = "region is a region such as europe-west1, not a zone (europe-west1-b) or a multi-region (EU)."
  }
}

variable "bucket_location" {
  description = "Location of the buckets, a region or a multi-region (EU, US, ASIA). Null is var.region."
  type        = string
  default     = null

  validation {
    condition     = var.bucket_location == null ? true : can(regex("^([a-z]+-[a-z]+[0-9]{1,2}|EU|US|ASIA|[A-Z]{2,4}[0-9])$", var.bucket_location))
    error_message = "bucket_location is a region (europe-west1), a multi-region (EU, US, ASIA) or a dual-region (EUR4)."
  }
}

variable "prefix" {
  description = "Begins every name, so that several environments fit into one project."
  type        = string
  default     = "riftline"

  validation {
    condition     = can(regex("^[a-z]([-a-z0-9]{0,11}[a-z0-9])?$", var.prefix)) && !startswith(var.prefix, "goog")
    error_message = "prefix has 1 to 13 of a-z 0-9 -, begins with a letter, and not with goog, and ends with no dash: account ids have 30 characters at most."
  }
}

variable "labels" {
  description = "Labels of everything that takes labels."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for k, v in var.labels : can(regex("^[a-z][a-z0-9_-]{0,62}$", k)) && can(regex("^[a-z0-9_-]{0,63}$", v))])
    error_message = "labels have lower-case letters, digits, _ and - only, 63 at most, and a key begins with a letter."
  }
}

# What

variable "connectors_dir" {
  description = "The folder with connector files, *.json, one connector each. Null is the folder connectors beside this file."
  type        = string
  default     = null
}

variable "overrides" {
  description = "Keys that win over a connector file's, by connector name, so that an unmodified file runs elsewhere: { gcs-sink = { \"gcs.bucket.name\" = \"my-archive\" } }. Becomes RIFTLINE_OVERRIDES."
  type        = map(map(string))
  default     = {}

  validation {
    condition     = alltrue([for name, keys in var.overrides : !contains(keys(keys), "name") && !contains(keys(keys), "connector.class")])
    error_message = "overrides cannot change name and connector.class: they say which connector it is."
  }
}

variable "poller_image" {
  description = "The poller's image, by digest or by a tag that does not move."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)+(:[A-Za-z0-9_][A-Za-z0-9_.-]*|@sha256:[0-9a-f]{64})$", var.poller_image)) && !endswith(var.poller_image, ":latest")
    error_message = "poller_image is REGISTRY/PATH:TAG or REGISTRY/PATH@sha256:DIGEST, and not :latest, which would deploy something else at every change."
  }
}

variable "sink_image" {
  description = "The sink's image, by digest or by a tag that does not move."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)+(:[A-Za-z0-9_][A-Za-z0-9_.-]*|@sha256:[0-9a-f]{64})$", var.sink_image)) && !endswith(var.sink_image, ":latest")
    error_message = "sink_image is REGISTRY/PATH:TAG or REGISTRY/PATH@sha256:DIGEST, and not :latest, which would deploy something else at every change."
  }
}

variable "worker_settings" {
  description = "What a Connect worker has in its environment: CONNECT_BOOTSTRAP_SERVERS and so on. No credentials: a value may hold references ($${gcpsecret:NAME}), or see worker_secrets."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.worker_settings) : can(regex("^CONNECT_[A-Z0-9_]+$", name))])
    error_message = "worker_settings are named CONNECT_…, as in Confluent's Connect images; what riftline itself reads is set from the other variables."
  }
}

variable "worker_secrets" {
  description = "Worker settings that are credentials: the name of the setting to the name of a secret, { CONNECT_SASL_JAAS_CONFIG = \"kafka-jaas\" }, or to a full resource name."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.worker_secrets) : can(regex("^CONNECT_[A-Z0-9_]+$", name)) && !contains(keys(var.worker_settings), name)])
    error_message = "worker_secrets are named CONNECT_…, and stand in one of worker_settings and worker_secrets, not in both."
  }

  validation {
    condition     = alltrue([for secret in values(var.worker_secrets) : can(regex("^([A-Za-z][A-Za-z0-9_-]{0,62}|projects/[^/]+(/locations/[a-z]([-a-z0-9]{0,61}[a-z0-9])?)?/secrets/[A-Za-z0-9_-]{1,255}(/versions/[A-Za-z0-9_-]+)?)$", secret))])
    error_message = "worker_secrets name secrets: NAME, or projects/PROJECT/secrets/NAME. The credential itself does not belong here; add it with gcloud secrets versions add NAME --data-file=-."
  }
}

# Secrets

variable "existing_secrets" {
  description = "Secrets of this project that are there already, or belong to another environment: they are granted, not created."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for name in var.existing_secrets : can(regex("^[A-Za-z0-9_-]{1,255}$", name))])
    error_message = "existing_secrets are bare names of secrets in this project."
  }
}

variable "secret_locations" {
  description = "Regions that secrets are kept in. Empty lets Google choose."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for location in var.secret_locations : can(regex("^[a-z]+-[a-z]+[0-9]{1,2}$", location))])
    error_message = "secret_locations are regions such as europe-west1."
  }
}

# Buckets

variable "archive_buckets" {
  description = "The buckets that sinks archive into, by name. With create = false the bucket is there already, and is only granted. A bucket stands here and not only in a connector file, so that removing the file removes no bucket."
  type = map(object({
    create           = optional(bool, true)
    location         = optional(string)
    storage_class    = optional(string, "STANDARD")
    soft_delete_days = optional(number, 7)
  }))
  default = {}

  validation {
    condition     = alltrue([for name in keys(var.archive_buckets) : can(regex("^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$", name))])
    error_message = "archive_buckets: a bucket's name has 3 to 63 of a-z 0-9 . _ - and begins and ends with a letter or digit."
  }

  validation {
    condition     = alltrue([for b in values(var.archive_buckets) : contains(["STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"], b.storage_class)])
    error_message = "archive_buckets: storage_class is STANDARD, NEARLINE, COLDLINE or ARCHIVE."
  }

  validation {
    condition     = alltrue([for b in values(var.archive_buckets) : b.soft_delete_days == 0 || b.soft_delete_days >= 7 && b.soft_delete_days <= 90])
    error_message = "archive_buckets: Cloud Storage keeps deleted objects for 7 to 90 days, or not at all: soft_delete_days is 0 or 7 to 90."
  }
}

variable "state_bucket" {
  description = "The bucket for source offset objects, heads and connector files. Null is <project_id>-<prefix>-state."
  type        = string
  default     = null

  validation {
    condition     = var.state_bucket == null ? true : can(regex("^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$", var.state_bucket))
    error_message = "state_bucket has 3 to 63 of a-z 0-9 . _ - and begins and ends with a letter or digit."
  }

  validation {
    condition     = var.state_bucket == null ? true : !contains(keys(var.archive_buckets), var.state_bucket)
    error_message = "state_bucket is another bucket than those of archive_buckets: sinks may read all of an archive."
  }
}

# How much, how long

variable "poll_deadline_seconds" {
  description = "RIFTLINE_DEADLINE of a poll. The service's timeout is 30 s longer, what waits for the service another 30 s."
  type        = number
  default     = 60

  validation {
    condition     = var.poll_deadline_seconds >= 5 && var.poll_deadline_seconds <= 540 && floor(var.poll_deadline_seconds) == var.poll_deadline_seconds
    error_message = "poll_deadline_seconds is a whole number from 5 to 540: a push subscription waits 600 s at most, and must wait longer than the service, which must live longer than the poll."
  }
}

variable "drain_timeout_seconds" {
  description = "Timeout of a task of a sink's job. RIFTLINE_DEADLINE is two minutes shorter, so that a drain saves in time."
  type        = number
  default     = 3600

  validation {
    condition     = var.drain_timeout_seconds >= 300 && var.drain_timeout_seconds <= 604800 && floor(var.drain_timeout_seconds) == var.drain_timeout_seconds
    error_message = "drain_timeout_seconds is a whole number from 300 to 604800 (seven days, Cloud Run's limit)."
  }
}

variable "poller_max_instances" {
  description = "How many instances of the poller may run. One shares an API's rate limit in memory."
  type        = number
  default     = 1

  validation {
    condition     = var.poller_max_instances >= 1 && var.poller_max_instances <= 100 && floor(var.poller_max_instances) == var.poller_max_instances
    error_message = "poller_max_instances is a whole number from 1 to 100."
  }
}

variable "poller_concurrency" {
  description = "How many polls an instance runs at once; each may hold an answer of riftline.response.max.bytes."
  type        = number
  default     = 20

  validation {
    condition     = var.poller_concurrency >= 1 && var.poller_concurrency <= 1000 && floor(var.poller_concurrency) == var.poller_concurrency
    error_message = "poller_concurrency is a whole number from 1 to 1000."
  }
}

variable "poller_resources" {
  description = "vCPUs and memory of an instance of the poller."
  type        = object({ cpu = optional(string, "1"), memory = optional(string, "512Mi") })
  default     = {}

  validation {
    condition     = contains(["1", "2", "4"], var.poller_resources.cpu) && can(regex("^[1-9][0-9]*(Mi|Gi)$", var.poller_resources.memory))
    error_message = "poller_resources: cpu is 1, 2 or 4 (less allows one request at a time only), memory is written as 512Mi or 1Gi."
  }

  validation {
    condition = try(alltrue([
      for memory in [try(tonumber(trimsuffix(var.poller_resources.memory, "Gi")) * 1024, tonumber(trimsuffix(var.poller_resources.memory, "Mi")))] :
      memory >= { "1" = 512, "2" = 512, "4" = 2048, "8" = 4096 }[var.poller_resources.cpu] && memory <= { "1" = 4096, "2" = 8192, "4" = 16384, "8" = 32768 }[var.poller_resources.cpu]
    ]), true)
    error_message = "poller_resources: an instance has 512Mi of memory at least, 2Gi with 4 vCPUs and 4Gi with 8; and at most 4Gi with one vCPU, 8Gi with 2, 16Gi with 4, 32Gi with 8."
  }
}

variable "sink_resources" {
  description = "vCPUs and memory of a task of a sink's job."
  type        = object({ cpu = optional(string, "1"), memory = optional(string, "512Mi") })
  default     = {}

  validation {
    condition     = contains(["1", "2", "4", "8"], var.sink_resources.cpu) && can(regex("^[1-9][0-9]*(Mi|Gi)$", var.sink_resources.memory))
    error_message = "sink_resources: cpu is 1, 2, 4 or 8, memory is written as 512Mi or 1Gi."
  }

  validation {
    condition = try(alltrue([
      for memory in [try(tonumber(trimsuffix(var.sink_resources.memory, "Gi")) * 1024, tonumber(trimsuffix(var.sink_resources.memory, "Mi")))] :
      memory >= { "1" = 512, "2" = 512, "4" = 2048, "8" = 4096 }[var.sink_resources.cpu] && memory <= { "1" = 4096, "2" = 8192, "4" = 16384, "8" = 32768 }[var.sink_resources.cpu]
    ]), true)
    error_message = "sink_resources: an instance has 512Mi of memory at least, 2Gi with 4 vCPUs and 4Gi with 8; and at most 4Gi with one vCPU, 8Gi with 2, 16Gi with 4, 32Gi with 8."
  }
}

variable "log_level" {
  description = "RIFTLINE_LOG_LEVEL of poller and sinks."
  type        = string
  default     = "info"

  validation {
    condition     = contains(["debug", "info"], var.log_level)
    error_message = "log_level is debug or info: the alerts read the summaries of good runs, which other levels leave out."
  }
}

# Network

variable "ingress" {
  description = "From where the poller may be reached. Scheduler and Pub/Sub of the same project count as internal; every caller needs a token of an invoker in any case."
  type        = string
  default     = "INGRESS_TRAFFIC_INTERNAL_ONLY"

  validation {
    condition     = contains(["INGRESS_TRAFFIC_INTERNAL_ONLY", "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER", "INGRESS_TRAFFIC_ALL"], var.ingress)
    error_message = "ingress is INGRESS_TRAFFIC_INTERNAL_ONLY, INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER or INGRESS_TRAFFIC_ALL."
  }
}

variable "vpc" {
  description = "Direct VPC egress, for brokers and registries with private addresses. Nothing of it is billed while idle, unlike a connector. Null is none."
  type = object({
    network    = string
    subnetwork = string
    tags       = optional(list(string), [])
    egress     = optional(string, "PRIVATE_RANGES_ONLY")
  })
  default = null

  validation {
    condition     = var.vpc == null ? true : contains(["PRIVATE_RANGES_ONLY", "ALL_TRAFFIC"], var.vpc.egress)
    error_message = "vpc.egress is PRIVATE_RANGES_ONLY or ALL_TRAFFIC; with the latter the API is reached through the network's Cloud NAT."
  }

  validation {
    condition     = var.vpc == null ? true : alltrue([for name in [var.vpc.network, var.vpc.subnetwork] : can(regex("^(projects/[^/]+/.*/)?[a-z]([-a-z0-9]{0,61}[a-z0-9])?$", name))])
    error_message = "vpc.network and vpc.subnetwork are names, or projects/PROJECT/… of a shared network."
  }
}

# Alerts

variable "alerts" {
  description = "When whom is told. Channels are made by hand (gcloud beta monitoring channels create), since some hold a credential. With enabled = false there are no metrics, alerts and dashboard. key_max_age_days gives poller and sinks roles/secretmanager.viewer on each secret that they read; 0 gives no such role and no such alert."
  type = object({
    enabled               = optional(bool, true)
    notification_channels = optional(list(string), [])
    after_runs            = optional(number, 3)
    undrained_hours       = optional(number, 6)
    topic_retention_hours = optional(number, 168)
    deferrals_per_hour    = optional(number, 10)
    key_max_age_days      = optional(number, 90)
    playbooks_url         = optional(string, "https://github.com/riftline/riftline/blob/main/infra/playbooks")
  })
  default = {}

  validation {
    condition     = alltrue([for channel in var.alerts.notification_channels : can(regex("^projects/[^/]+/notificationChannels/[0-9]+$", channel))])
    error_message = "alerts.notification_channels are named projects/PROJECT/notificationChannels/NUMBER."
  }

  validation {
    condition     = var.alerts.after_runs >= 1 && var.alerts.undrained_hours > 0 && var.alerts.topic_retention_hours >= 1 && var.alerts.deferrals_per_hour >= 0
    error_message = "alerts: after_runs is 1 or more, undrained_hours more than 0, topic_retention_hours 1 or more, deferrals_per_hour 0 or more."
  }

  validation {
    condition     = var.alerts.key_max_age_days == 0 || var.alerts.key_max_age_days >= 1 && var.alerts.key_max_age_days <= 3650
    error_message = "alerts.key_max_age_days is 1 to 3650, or 0 for no alert on a key's age."
  }

  validation {
    condition     = can(regex("^https?://[^ ]+[^/ ]$", var.alerts.playbooks_url))
    error_message = "alerts.playbooks_url is a URL without a slash at its end."
  }
}

# Kafka

variable "managed_kafka" {
  description = "Google's Managed Service for Apache Kafka. Null is a broker of one's own, which CONNECT_BOOTSTRAP_SERVERS names. A cluster is always on: the smallest costs some 140 USD a month."
  type = object({
    cluster    = string
    create     = optional(bool, true)
    subnet     = string
    vcpus      = optional(number, 3)
    memory_gib = optional(number, 3)
    topics = map(object({
      partitions = optional(number, 1)
      configs    = optional(map(string), {})
    }))
  })
  default = null

  validation {
    condition     = var.managed_kafka == null ? true : can(regex("^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$", var.managed_kafka.cluster)) && can(regex("^projects/[^/]+/regions/[^/]+/subnetworks/[^/]+$", var.managed_kafka.subnet))
    error_message = "managed_kafka: cluster is an id of a-z 0-9 -, subnet is projects/PROJECT/regions/REGION/subnetworks/NAME."
  }

  validation {
    condition     = var.managed_kafka == null ? true : var.managed_kafka.vcpus >= 3 && var.managed_kafka.memory_gib >= var.managed_kafka.vcpus && var.managed_kafka.memory_gib <= 8 * var.managed_kafka.vcpus
    error_message = "managed_kafka: a cluster has 3 vCPUs at least, and 1 to 8 GiB of memory for each."
  }

  validation {
    condition     = var.managed_kafka == null ? true : alltrue([for name, t in var.managed_kafka.topics : can(regex("^[A-Za-z0-9._-]{1,249}$", name)) && t.partitions >= 1])
    error_message = "managed_kafka.topics have names of A-Z a-z 0-9 . _ - and one partition at least."
  }

  validation {
    condition     = var.managed_kafka == null || var.vpc != null
    error_message = "managed_kafka has private addresses only: vpc has to say by which network it is reached."
  }

  validation {
    condition     = var.managed_kafka == null || !anytrue([for name in concat(keys(var.worker_settings), keys(var.worker_secrets)) : can(regex("^CONNECT_(BOOTSTRAP_SERVERS|SECURITY_PROTOCOL|SASL_.*)$", name))])
    error_message = "managed_kafka says how the brokers are reached: leave CONNECT_BOOTSTRAP_SERVERS, CONNECT_SECURITY_PROTOCOL and CONNECT_SASL_* out."
  }
}
