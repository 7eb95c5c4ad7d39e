# What Google Cloud would answer: each account its own address, the service its own. Terraform's own made-up values are
# the same for all resources of a type, or unknown in a plan, and would hide who is granted what.

mock_data "google_project" {
  defaults = {
    number = "123456789012"
  }
}

override_resource {
  target          = module.poller.google_cloud_run_v2_service.poller
  override_during = plan
  values = {
    uri = "https://riftline-poller-abcdefghij-ew.a.run.app"
  }
}

override_resource {
  target          = google_service_account.scheduler
  override_during = plan
  values = {
    email  = "riftline-scheduler@my-project.iam.gserviceaccount.com"
    member = "serviceAccount:riftline-scheduler@my-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target          = module.poller.google_service_account.poller
  override_during = plan
  values = {
    email  = "riftline-poller@my-project.iam.gserviceaccount.com"
    member = "serviceAccount:riftline-poller@my-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target          = module.poller.google_service_account.push
  override_during = plan
  values = {
    email  = "riftline-push@my-project.iam.gserviceaccount.com"
    member = "serviceAccount:riftline-push@my-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target          = module.sink["gcs-sink"].google_service_account.sink
  override_during = plan
  values = {
    email  = "riftline-sink-gcs-sink@my-project.iam.gserviceaccount.com"
    member = "serviceAccount:riftline-sink-gcs-sink@my-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target          = module.sink["other"].google_service_account.sink
  override_during = plan
  values = {
    email  = "riftline-sink-other@my-project.iam.gserviceaccount.com"
    member = "serviceAccount:riftline-sink-other@my-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target          = module.sink["own-key"].google_service_account.sink
  override_during = plan
  values = {
    email  = "riftline-sink-own-key@my-project.iam.gserviceaccount.com"
    member = "serviceAccount:riftline-sink-own-key@my-project.iam.gserviceaccount.com"
  }
}
