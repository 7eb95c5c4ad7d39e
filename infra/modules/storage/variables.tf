variable "state_bucket" {
  description = "Name of the bucket for source offset objects, heads and connector files."
  type        = string
}

variable "archive_buckets" {
  description = "The buckets of the archive, by name."
  type = map(object({
    create           = bool
    location         = string
    storage_class    = string
    soft_delete_days = number
  }))
}

variable "location" {
  description = "Location of the buckets, unless a bucket of the archive has its own."
  type        = string
}

variable "connector_files" {
  description = "Connector files as they are written, by connector name. They hold references and no credentials."
  type        = map(string)
}

variable "labels" {
  description = "Labels of the buckets."
  type        = map(string)
}
