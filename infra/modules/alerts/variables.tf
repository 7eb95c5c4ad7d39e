variable "prefix" {
  description = "Begins every name."
  type        = string
}

variable "labels" {
  description = "Labels of the policies."
  type        = map(string)
}

variable "service" {
  description = "The poller's service."
  type        = string
}

variable "connectors" {
  description = "The connectors by name: source or sink, how often they run, how long a run may take, and whether they are paused."
  type = map(object({
    kind           = string
    period_seconds = number
    run_seconds    = number
    paused         = bool
  }))
}

variable "dead_letter_subscription" {
  description = "The subscription of the Pub/Sub dead-letter topic."
  type        = string
}

variable "notification_channels" {
  description = "Channels that are told."
  type        = list(string)
}

variable "after_runs" {
  description = "After how many schedules without a success an alert is due."
  type        = number
}

variable "undrained_seconds" {
  description = "How old a record may become before it is archived."
  type        = number
}

variable "topic_retention_seconds" {
  description = "How long the topics keep a record."
  type        = number
}

variable "deferrals_per_hour" {
  description = "How often an hour a connector may be deferred by the API's rate limit."
  type        = number
}

variable "key_max_age_days" {
  description = "How old the version of a secret may become that a connector uses. 0 is no alert on it."
  type        = number
}

variable "playbooks_url" {
  description = "Where the pages are that say what to do."
  type        = string
}
