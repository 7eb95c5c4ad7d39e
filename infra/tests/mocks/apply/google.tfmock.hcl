# What Google Cloud would answer, for tests that apply: the same as in ../plan, but learned when a resource is made.

mock_data "google_project" {
  defaults = {
    number = "123456789012"
  }
}

override_resource {
  target = module.poller.google_cloud_run_v2_service.poller
  values = {
    uri = "https://riftline-poller-abcdefghij-ew.a.run.app"
  }
}

override_resource {
  target = google_service_account.scheduler
  values = {
    email  = "riftline-scheduler@my-project.iam.gserviceaccount.com"
    member = "serviceAccount:riftline-scheduler@my-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = module.poller.google_service_account.poller
  values = {
    email  = "riftline-poller@my-project.iam.gserviceaccount.com"
    member = "serviceAccount:riftline-poller@my-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = module.poller.google_service_account.push
  values = {
    email  = "riftline-push@my-project.iam.gserviceaccount.com"
    member = "serviceAccount:riftline-push@my-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = module.sink["gcs-sink"].google_service_account.sink
  values = {
    email  = "riftline-sink-gcs-sink@my-project.iam.gserviceaccount.com"
    member = "serviceAccount:riftline-sink-gcs-sink@my-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = module.sink["other"].google_service_account.sink
  values = {
    email  = "riftline-sink-other@my-project.iam.gserviceaccount.com"
    member = "serviceAccount:riftline-sink-other@my-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = module.sink["own-key"].google_service_account.sink
  values = {
    email  = "riftline-sink-own-key@my-project.iam.gserviceaccount.com"
    member = "serviceAccount:riftline-sink-own-key@my-project.iam.gserviceaccount.com"
  }
}
