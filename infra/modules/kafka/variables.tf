variable "project_id" {
  description = "The project."
  type        = string
}

variable "region" {
  description = "The cluster's region."
  type        = string
}

variable "labels" {
  description = "Labels of the cluster."
  type        = map(string)
}

variable "cluster" {
  description = "The cluster's id."
  type        = string
}

variable "create" {
  description = "Whether the cluster is created; it is there already otherwise."
  type        = bool
}

variable "subnet" {
  description = "The subnet that its addresses are in, projects/PROJECT/regions/REGION/subnetworks/NAME."
  type        = string
}

variable "vcpus" {
  description = "vCPUs of the cluster."
  type        = number
}

variable "memory_gib" {
  description = "Memory of the cluster in GiB."
  type        = number
}

variable "topics" {
  description = "The topics by name."
  type        = map(object({ partitions = number, configs = map(string) }))
}

variable "poller_email" {
  description = "The poller's account."
  type        = string
}

variable "source_topics" {
  description = "The topics that sources publish to."
  type        = set(string)
}

variable "sinks" {
  description = "The sinks by connector name: the account, the topics that are drained, and those for dead letters."
  type        = map(object({ email = string, topics = list(string), dead_letter_topics = list(string) }))
}
