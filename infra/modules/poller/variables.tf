variable "project_id" {
  description = "The project."
  type        = string
}

variable "project_number" {
  description = "The project's number, which the name of Pub/Sub's service agent has."
  type        = string
}

variable "region" {
  description = "The region of service and schedules."
  type        = string
}

variable "prefix" {
  description = "Begins every name."
  type        = string
}

variable "labels" {
  description = "Labels of service, topics and subscriptions."
  type        = map(string)
}

variable "image" {
  description = "The poller's image."
  type        = string
}

variable "sources" {
  description = "The sources, by connector name: the name on Google Cloud, the schedule, and how a poll is triggered."
  type = map(object({
    slug     = string
    schedule = string
    timezone = string
    paused   = bool
    pubsub   = bool
  }))
}

variable "overrides" {
  description = "Keys that win over those of the sources' files, by connector name."
  type        = map(map(string))
}

variable "worker" {
  description = "The CONNECT_* settings; credentials among them are references."
  type        = map(string)
}

variable "references" {
  description = "The secrets that sources and worker settings refer to: bare names, and full resource names."
  type        = set(string)
}

variable "secrets" {
  description = "Secrets that are created, by bare name: their ids. Others are there already."
  type        = map(string)
}

variable "secret_metadata" {
  description = "Whether the account may also see when the versions of its secrets were added."
  type        = bool
}

variable "scheduler_email" {
  description = "The account whose tokens Cloud Scheduler sends."
  type        = string
}

variable "state_bucket" {
  description = "The state bucket."
  type        = string
}

variable "state_prefix" {
  description = "What RIFTLINE_STATE has after the bucket."
  type        = string
}

variable "connectors_folder" {
  description = "Managed folder of the connector files."
  type        = string
}

variable "deadline_seconds" {
  description = "How long a poll may take. The service's timeout is longer, and what waits for the service waits longer still."
  type        = number
}

variable "max_instances" {
  description = "How many instances may run."
  type        = number
}

variable "concurrency" {
  description = "How many polls an instance runs at once."
  type        = number
}

variable "resources" {
  description = "vCPUs and memory of an instance."
  type        = object({ cpu = string, memory = string })
}

variable "ingress" {
  description = "From where the service may be reached."
  type        = string
}

variable "vpc" {
  description = "Direct VPC egress; null is none."
  type        = object({ network = string, subnetwork = string, tags = list(string), egress = string })
}

variable "log_level" {
  description = "RIFTLINE_LOG_LEVEL."
  type        = string
}

variable "brokers" {
  description = "What there has to be of Google's Kafka before an instance starts; empty with a broker of one's own."
  type        = list(string)
}
