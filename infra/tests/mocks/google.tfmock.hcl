mock_data "google_project" {
  defaults = {
    number = "123456789012"
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
