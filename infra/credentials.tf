# Where a credential stands in clear text. The lists are those by which riftline itself hides credentials; a test keeps
# credentials.json in step with them.

locals {
  hidden   = jsondecode(file("${path.module}/credentials.json"))
  families = { for key, shape in local.hidden.keys : trimsuffix(key, "*") => shape if endswith(key, ".*") }

  # A Connect worker's names for keys: CONNECT_PRODUCER_SASL_JAAS_CONFIG is producer.sasl.jaas.config, and sasl.jaas.config
  # is every client's.
  worker_keys = { for name in keys(var.worker_settings) : name => replace(replace(replace(replace(replace(
    lower(trimprefix(name, "CONNECT_")), "___", "-"), "__", "\u0001"), "_", "."), "\u0001", "_"),
  "/^((producer|consumer)\\.)?(sasl|ssl)\\./", "producer.override.$3.") }

  texts = concat(
    flatten([for f, s in local.settings : [for k, v in s : { id = "${f} ${k}", key = k, value = v }]]),
    flatten([for name, keys in var.overrides : [for k, v in keys : { id = "overrides ${name} ${k}", key = k, value = v }]]),
    [for name, v in var.worker_settings : { id = "worker ${name}", key = local.worker_keys[name], value = v }],
  )

  # Without references, and in a request's templates without what is filled in: what is left is clear text.
  clear = { for t in local.texts : t.id => {
    key   = t.key
    shape = lookup(local.hidden.keys, t.key, try([for prefix, shape in local.families : shape if startswith(t.key, prefix)][0], "open"))
    value = trimspace(startswith(t.key, "http.request.") ? replace(t.value, "/\\$\\{[^}]*\\}/", "") : replace(t.value, "/\\$\\{(gcpsecret|env|file|dir):[^}]*\\}/", ""))
  } }

  # Names and values, as they stand in headers, in a URL's or a request's parameters, and in a login module.
  pairs = { for id, t in local.clear : id => concat(
    t.shape == "headers" ? [for part in split(",", replace(t.value, "\\,", "\u0001")) : {
      name  = lower(trimspace(split(":", part)[0]))
      value = trimspace(replace(part, "/^[^:]*:?/", ""))
    }] : [],
    contains(["url", "params"], t.shape) ? [for part in flatten([for u in split(",", t.value) : split("&", t.shape == "url" ? replace(u, "/^[^?]*\\??/", "") : u)]) : {
      name  = trimspace(split("=", part)[0])
      value = trimspace(replace(part, "/^[^=]*=?/", ""))
    }] : [],
    t.shape == "jaas" ? [for option in regexall("([A-Za-z][A-Za-z0-9._]*)\\s*=\\s*[\"']?([^\"';\\s]*)", t.value) : {
      name  = option[0]
      value = trimspace(option[1])
    }] : [],
  ) }

  held = { for id, t in local.clear : id => anytrue([
    # "user:" before a reference is no credential.
    t.shape == "closed" && t.value != "" && !(endswith(t.key, "user.info") && can(regex("^[^:]*:$", t.value))),
    # user:password@host
    t.shape == "url" && can(regex("://[^/?:,]*:[^/?,]+@", t.value)),
    # A credential by its form, wherever it stands.
    can(regex(local.hidden.anywhere, t.value)),
    # A key that nobody knows, named as one that holds a credential.
    t.shape == "open" && t.value != "" && !contains(keys(local.hidden.keys), t.key) && can(regex(local.hidden.key, t.key)),
    anytrue([for p in local.pairs[id] : p.value != "" && !can(regex(local.hidden.scheme, p.value)) &&
      !(t.shape == "headers" && contains(local.hidden.harmless_headers, p.name)) && (
        can(regex(local.hidden.name, p.name)) || t.shape != "jaas" && (
          can(regex(local.hidden.value, p.value)) ||
          length(p.value) >= 24 && !can(regex("[\\s/,;:]", p.value)) && can(regex("[0-9]", p.value)) && can(regex("[A-Za-z]", p.value))
        )
      )
    ]),
  ]) }

  inline        = { for f, s in local.settings : f => distinct(concat([for k in keys(s) : k if local.held["${f} ${k}"]], [for k in keys(lookup(var.overrides, local.names[f], {})) : "${k} (in overrides)" if local.held["overrides ${local.names[f]} ${k}"]])) }
  inline_worker = [for name in keys(var.worker_settings) : name if local.held["worker ${name}"]]
}
