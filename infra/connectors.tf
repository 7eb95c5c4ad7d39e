# What the connector files ask for: their names and kinds, their schedules, what they need of others, and what is wrong
# with them. Nothing below creates anything; output "connectors" refuses the plan while a problem is left.

locals {
  connectors_dir = coalesce(var.connectors_dir, "${path.module}/connectors")
  files          = fileset(local.connectors_dir, "*.json")

  # A file that is no strict JSON is null here.
  parsed = { for f in local.files : f => try(jsondecode(file("${local.connectors_dir}/${f}")), null) }
  is_map = { for f, p in local.parsed : f => can(keys(p)) }
  # {"name": …, "config": {…}}, as Connect's REST interface has it.
  is_rest = { for f, p in local.parsed : f => can(keys(p.config)) }
  written = { for f, p in local.parsed : f => try(
    { for k, v in p.config : k => v },
    local.is_map[f] ? { for k, v in p : k => v } : tomap({}),
    {},
  ) }
  not_texts = { for f, w in local.written : f => [for k, v in w : k if !can(tostring(v))] }
  settings  = { for f, w in local.written : f => { for k, v in w : k => tostring(v) if can(tostring(v)) && v != null } }

  names = { for f, s in local.settings : f => try(coalesce(
    local.is_rest[f] ? try(tostring(local.parsed[f].name), "") : "",
    lookup(s, "name", ""),
  ), trimsuffix(f, ".json")) }

  # The file's keys, and those of var.overrides over them: what the functions will read.
  effective = { for f, s in local.settings : f => merge(s, lookup(var.overrides, local.names[f], {})) }

  source_classes = [for form in ["com.github.castorm.kafka.connect.http.HttpSourceConnector", "HttpSourceConnector", "HttpSource"] : form]
  sink_classes   = [for form in ["io.confluent.connect.gcs.GcsSinkConnector", "GcsSinkConnector", "GcsSink"] : form]
  class          = { for f, s in local.settings : f => trimspace(lookup(s, "connector.class", "")) }
  kind = { for f, class in local.class : f =>
    contains(local.source_classes, class) ? "source" : contains(local.sink_classes, class) ? "sink" : ""
  }
}

# Schedules

locals {
  # The intervals that cron can say: they divide an hour, or are whole hours that divide a day.
  minutes = [1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60, 120, 180, 240, 360, 480, 720, 1440]

  interval_text = { for f, s in local.effective : f => trimspace(lookup(s, "http.timer.interval.millis", lookup(s, "http.throttler.interval.millis", "60000"))) }
  interval      = { for f, text in local.interval_text : f => try(can(regex("^[0-9]{1,15}$", text)) ? tonumber(text) : 0, 0) }
  # Each as a cron line, by its length in milliseconds.
  interval_cron = { for m in local.minutes :
    tostring(m * 60000) => m == 1 ? "* * * * *" : m < 60 ? "*/${m} * * * *" : m == 60 ? "0 * * * *" : m < 1440 ? "0 */${m / 60} * * *" : "0 0 * * *"
  }
  # The two intervals that are nearest to one that cron cannot say.
  near = { for f, ms in local.interval : f => distinct([
    max(concat([local.minutes[0]], [for m in local.minutes : m if m * 60000 <= ms])...),
    min(concat([local.minutes[length(local.minutes) - 1]], [for m in local.minutes : m if m * 60000 >= ms && m > 1])...),
  ]) }

  schedule = { for f, s in local.effective : f => try(coalesce(trimspace(lookup(s, "riftline.schedule", ""))),
    local.kind[f] == "sink" ? "0 * * * *" : lookup(local.interval_cron, tostring(local.interval[f]), "")
  ) }
  timezone = { for f, s in local.effective : f => try(coalesce(trimspace(lookup(s, "riftline.schedule.timezone", ""))), "UTC") }
  # How often that is, in seconds: each hour or each few hours, at whatever minutes; another cron line of one's own counts
  # as once a day, unless it is one of the above.
  seconds = { for ms, cron in local.interval_cron : cron => tonumber(ms) / 1000 }
  period  = { for f, cron in local.schedule : f => lookup(local.seconds, cron, try(3600 * tonumber(coalesce(regex("^[^ ]+ +\\*(?:/(1|2|3|4|6|8|12))? +\\* +\\* +\\*$", cron)[0], "1")), 86400)) }
  paused  = { for f, s in local.effective : f => lower(trimspace(lookup(s, "riftline.paused", "false"))) }
  trigger = { for f, s in local.effective : f => trimspace(lookup(s, "riftline.trigger", "http")) }
  tasks   = { for f, s in local.effective : f => try(tonumber(trimspace(lookup(s, "tasks.max", "1"))), 0) }

  cron_number = {
    minute  = "[0-5]?[0-9]"
    hour    = "(1?[0-9]|2[0-3])"
    day     = "([1-9]|[12][0-9]|3[01]|0[1-9])"
    month   = "([1-9]|0[1-9]|1[0-2]|(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec))"
    weekday = "([0-7]|(?i:sun|mon|tue|wed|thu|fri|sat))"
  }
  cron_field = { for name, n in local.cron_number : name => "(\\*|${n}(-${n})?)(/[1-9][0-9]?)?" }
  cron       = join(" +", [for name in ["minute", "hour", "day", "month", "weekday"] : "${local.cron_field[name]}(,${local.cron_field[name]})*"])
}

# Secrets

locals {
  references = { for f, s in local.effective : f => distinct(flatten([for k, v in s : regexall("\\$\\{gcpsecret:([^}]*)\\}", v)])) }
  # Providers that a container of Cloud Run has nothing for.
  local_references = { for f, s in local.effective : f => distinct([for k, v in s : k if can(regex("\\$\\{(env|file|dir):[^}]*\\}", v))]) }
  worker_values    = merge(local.kafka_settings, var.worker_settings, { for name, secret in var.worker_secrets : name => "$${gcpsecret:${secret}}" })
  worker_refs      = distinct(flatten([for v in values(local.worker_values) : regexall("\\$\\{gcpsecret:([^}]*)\\}", v)]))
  good_reference   = "^([A-Za-z0-9_-]{1,255}|projects/[^/]+(/locations/[a-z]([-a-z0-9]{0,61}[a-z0-9])?)?/secrets/[A-Za-z0-9_-]{1,255}(/versions/[A-Za-z0-9_-]+)?)$"
  bare_reference   = "^[A-Za-z0-9_-]{1,255}$"
}

# What is wrong

locals {
  problems = { for f, s in local.effective : f => [for text in compact(concat(
    [
      local.is_map[f] ? "" : "is no strict JSON object, which is all that Terraform reads. Run: riftline fmt ${local.connectors_dir}/${f}",
      !local.is_map[f] || can(regex("^[A-Za-z0-9._-]{1,64}$", local.names[f])) && !contains([".", ".."], local.names[f]) ? "" : "the name \"${substr(local.names[f], 0, 80)}\" is not usable: a name has 1 to 64 letters, digits, \".\", \"_\" and \"-\"",
      length([for g, n in local.names : g if n == local.names[f]]) == 1 ? "" : "the name \"${local.names[f]}\" is that of ${join(", ", [for g, n in local.names : g if n == local.names[f] && g != f])} too",
      length([for g, n in local.slug : g if n == local.slug[f]]) == 1 ? "" : "the name \"${local.names[f]}\" would be \"${local.slug[f]}\" on Google Cloud, as ${join(", ", [for g, n in local.slug : local.names[g] if n == local.slug[f] && g != f])} would; rename one of them",
      !local.is_map[f] || local.kind[f] != "" ? "" : local.class[f] == "" ? "connector.class is missing: write ${local.source_classes[0]} or ${local.sink_classes[0]}" : "connector.class \"${substr(local.class[f], 0, 80)}\" is not one that riftline stands in for: ${local.source_classes[0]}, ${local.sink_classes[0]}",
    ],
    [for k in local.not_texts[f] : "${k} is not a text: write it in quotes. Run: riftline fmt ${local.connectors_dir}/${f}"],
    [for k in local.inline[f] : "${k} holds a credential in clear text, which would stand in the bucket and in Terraform's state. Run: riftline import ${local.connectors_dir}/${f}"],
    [for k in local.local_references[f] : "${k} has a reference to a variable or a file, and a container has neither: write $${gcpsecret:NAME}"],
    [for r in local.references[f] : can(regex(local.good_reference, r)) ? "" : "$${gcpsecret:${substr(r, 0, 80)}} names no secret: write $${gcpsecret:NAME} or $${gcpsecret:projects/PROJECT/secrets/NAME}"],
    local.kind[f] == "" ? [] : [
      local.kind[f] == "source" && !contains(keys(s), "riftline.schedule") && local.schedule[f] == "" ? "http.timer.interval.millis=${substr(local.interval_text[f], 0, 20)} is no interval that cron can say: the nearest are ${join(" and ", [for m in local.near[f] : "${m * 60000} (${m} min)"])}; or write riftline.schedule, a cron line" : "",
      local.schedule[f] == "" || can(regex("^${local.cron}$", local.schedule[f])) ? "" : "riftline.schedule \"${substr(local.schedule[f], 0, 80)}\" is no cron line of five fields: \"*/5 * * * *\" is every five minutes",
      can(regex("^(UTC|GMT|[A-Z][A-Za-z_]+(/[A-Za-z0-9_+-]+){1,2})$", local.timezone[f])) ? "" : "riftline.schedule.timezone \"${substr(local.timezone[f], 0, 80)}\" is no time zone such as UTC or Europe/Berlin",
      contains(["true", "false"], local.paused[f]) ? "" : "riftline.paused is true or false",
      local.kind[f] == "source" && !contains(["http", "pubsub"], local.trigger[f]) ? "riftline.trigger is http or pubsub" : "",
      local.kind[f] == "sink" && local.trigger[f] != "http" ? "riftline.trigger=${substr(local.trigger[f], 0, 20)} is for sources: a sink's job is run by its schedule alone" : "",
      local.kind[f] == "source" || local.tasks[f] >= 1 && local.tasks[f] <= 10000 && floor(local.tasks[f]) == local.tasks[f] ? "" : "tasks.max is a whole number from 1 to 10000, the tasks of the job",
      local.kind[f] == "source" || local.own_key[f] || contains(keys(var.archive_buckets), local.bucket[f]) ? "" : local.bucket[f] == "" ? "gcs.bucket.name is missing" : "gcs.bucket.name is ${substr(local.bucket[f], 0, 80)}, which archive_buckets does not have. Add archive_buckets = { \"${substr(local.bucket[f], 0, 80)}\" = {} }, with create = false if it is there already; names of buckets are unique in the world, so it may be another's, and yours goes into the file or into overrides",
    ],
  )) : "${local.connectors_dir}/${f}: ${text}"] }

  other_problems = compact(concat(
    [for name in keys(var.overrides) : contains(values(local.names), name) ? "" : "overrides: there is no connector ${name}"],
    [for r in local.worker_refs : can(regex(local.good_reference, r)) ? "" : "worker_settings: $${gcpsecret:${substr(r, 0, 80)}} names no secret: write $${gcpsecret:NAME} or $${gcpsecret:projects/PROJECT/secrets/NAME}"],
    [for name in local.inline_worker : "worker_settings: ${name} holds a credential in clear text, which would stand in Terraform's state. Put it into Secret Manager and its name into worker_secrets"],
    [for name, v in var.worker_settings : can(regex("\\$\\{(env|file|dir):[^}]*\\}", v)) ? "worker_settings: ${name} has a reference to a variable or a file, and a container has neither: write $${gcpsecret:NAME}" : ""],
    local.missing_topics,
    [length(local.files) > 0 ? "" : "there is no *.json in ${local.connectors_dir}"],
    [length(local.files) == 0 || contains(keys(local.worker_values), "CONNECT_BOOTSTRAP_SERVERS") ? "" : "worker_settings: CONNECT_BOOTSTRAP_SERVERS is missing: it names the brokers"],
  ))

  all_problems = concat(flatten(values(local.problems)), local.other_problems)

  # What is created, by connector name. A file with a problem is left out only so that its message is not buried.
  good = { for f, p in local.problems : f => local.names[f] if length(p) == 0 }
  sources = { for f, name in local.good : name => {
    slug     = local.slug[f]
    schedule = local.schedule[f]
    period   = local.period[f]
    timezone = local.timezone[f]
    paused   = local.paused[f] == "true"
    pubsub   = local.trigger[f] == "pubsub"
    topic    = trimspace(lookup(local.effective[f], "kafka.topic", ""))
  } if local.kind[f] == "source" }
  sinks = { for f, name in local.good : name => {
    slug       = local.slug[f]
    account    = local.account[f]
    schedule   = local.schedule[f]
    period     = local.period[f]
    timezone   = local.timezone[f]
    paused     = local.paused[f] == "true"
    tasks      = local.tasks[f]
    bucket     = local.own_key[f] ? null : local.bucket[f]
    references = local.references[f]
  } if local.kind[f] == "sink" }
}

# Names on Google Cloud

locals {
  bucket = { for f, s in local.effective : f => trimspace(lookup(s, "gcs.bucket.name", "")) }
  # A sink that brings a service account's key needs no right of its own on the archive.
  own_key = { for f, s in local.effective : f => trimspace("${lookup(s, "gcs.credentials.json", "")}${lookup(s, "gcs.credentials.path", "")}") != "" }

  # A connector's name has up to 64 of A-Z a-z 0-9 . _ -; a Cloud Run job's takes a-z 0-9 - only, an account's 30 of
  # them. A name that fits stays as it is; another one is made to fit and gets six digits of its checksum.
  plain   = { for f, name in local.names : f => trim(replace(lower(name), "/[^a-z0-9]+/", "-"), "-") }
  slug    = { for f, name in local.names : f => can(regex("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", name)) && length(name) <= 30 ? name : trim("${trim(substr(local.plain[f], 0, 23), "-")}-${substr(sha256(name), 0, 6)}", "-") }
  room    = 30 - length(var.prefix) - length("-sink-")
  account = { for f, name in local.names : f => length(local.slug[f]) <= local.room ? local.slug[f] : trim("${trim(substr(local.plain[f], 0, local.room - 7), "-")}-${substr(sha256(name), 0, 6)}", "-") }
}
