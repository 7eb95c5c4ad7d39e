variable "project_id" {
  description = "The project."
  type        = string
}

variable "region" {
  description = "The region of job and schedule."
  type        = string
}

variable "prefix" {
  description = "Begins every name."
  type        = string
}

variable "labels" {
  description = "Labels of the job."
  type        = map(string)
}

variable "connector" {
  description = "The connector's name."
  type        = string
}

variable "slug" {
  description = "What the connector is called in names of Google Cloud."
  type        = string
}

variable "account" {
  description = "The same for its account, whose name is shorter."
  type        = string
}

variable "schedule" {
  description = "When it drains, a cron line."
  type        = string
}

variable "timezone" {
  description = "The time zone of the schedule."
  type        = string
}

variable "paused" {
  description = "Whether the schedule is paused."
  type        = bool
}

variable "tasks" {
  description = "How many tasks the job has."
  type        = number
}

variable "image" {
  description = "The sink's image."
  type        = string
}

variable "overrides" {
  description = "Keys that win over those of the connector file."
  type        = map(string)
}

variable "worker" {
  description = "The CONNECT_* settings; credentials among them are references."
  type        = map(string)
}

variable "references" {
  description = "The secrets that the sink and worker settings refer to: bare names, and full resource names."
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

variable "archive_bucket" {
  description = "The bucket that it archives into; null when the connector file brings a key of its own."
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

variable "timeout_seconds" {
  description = "How long a task may run. A drain's deadline is shorter."
  type        = number
}

variable "resources" {
  description = "vCPUs and memory of a task."
  type        = object({ cpu = string, memory = string })
}

variable "vpc" {
  description = "Direct VPC egress; null is none."
  type        = object({ network = string, subnetwork = string, tags = list(string), egress = string })
}

variable "log_level" {
  description = "RIFTLINE_LOG_LEVEL."
  type        = string
}
