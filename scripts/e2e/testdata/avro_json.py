"""Avro's JSON encoding of Python values as fastavro has them, with types of unions that have names as (name, value).

fastavro's own writer of it cannot encode a record type that holds itself in an array.
"""


def encode(schema, value, names=None, space=""):
    names = {} if names is None else names
    if isinstance(schema, list):
        return _union(schema, value, names, space)
    kind = schema["type"] if isinstance(schema, dict) else schema
    if not isinstance(kind, str):
        return encode(kind, value, names, space)
    if kind in ("record", "enum", "fixed"):
        space = define(schema, names, space)
    elif kind not in ("array", "map", "null", "boolean", "int", "long", "float", "double", "bytes", "string"):
        name, _ = _full(kind, space, names)
        schema = names[name]
        kind, space = schema["type"], name.rpartition(".")[0]
    if kind == "record":
        return {f["name"]: encode(f["type"], value[f["name"]], names, space) for f in schema["fields"]}
    if kind == "array":
        # A type may be defined in an array that is empty.
        collect(schema["items"], names, space)
        return [encode(schema["items"], v, names, space) for v in value]
    if kind == "map":
        collect(schema["values"], names, space)
        return {k: encode(schema["values"], v, names, space) for k, v in value.items()}
    if kind in ("bytes", "fixed"):
        # fastavro leaves a default as it stands in the schema.
        return value if isinstance(value, str) else value.decode("latin-1")
    return value


def define(schema, names, space):
    name = schema["name"]
    if "." not in name:
        space = schema.get("namespace", space)
        name = space + "." + name if space else name
    names[name] = schema
    return name.rpartition(".")[0]


def collect(schema, names, space):
    """Notes the types that a schema defines."""
    if isinstance(schema, list):
        for branch in schema:
            collect(branch, names, space)
    elif isinstance(schema, dict):
        kind = schema["type"]
        if kind in ("record", "enum", "fixed"):
            space = define(schema, names, space)
            for field in schema.get("fields", []):
                collect(field["type"], names, space)
        elif kind in ("array", "map"):
            collect(schema.get("items", schema.get("values")), names, space)
        else:
            collect(kind, names, space)


def _full(name, space, names):
    if "." not in name and space and space + "." + name in names:
        return space + "." + name, True
    return name, name in names


def _union(branches, value, names, space):
    collect(branches, names, space)
    if isinstance(value, tuple):
        name, value = value
        for branch in branches:
            if _label(branch, names, space) in (name, name.rpartition(".")[2]) or _label(branch, names, space).rpartition(".")[2] == name:
                return {_label(branch, names, space): encode(branch, value, names, space)}
    for branch in branches:
        if _fits(branch, value, names, space):
            return None if value is None else {_label(branch, names, space): encode(branch, value, names, space)}
    raise ValueError("no branch of %s for %r" % (branches, value))


def _label(branch, names, space):
    if isinstance(branch, dict):
        if branch["type"] in ("record", "enum", "fixed"):
            name = branch["name"]
            own = branch.get("namespace", space)
            return name if "." in name or not own else own + "." + name
        return branch["type"]
    return _full(branch, space, names)[0]


KINDS = {"null": type(None), "boolean": bool, "int": int, "long": int, "float": float, "double": float, "bytes": bytes, "string": str, "array": list, "map": dict}


def _fits(branch, value, names, space):
    kind = branch["type"] if isinstance(branch, dict) else branch
    if kind in KINDS:
        return type(value) is KINDS[kind]
    named, _ = _full(kind, space, names)
    return isinstance(value, dict) and (kind == "record" or named in names and names[named]["type"] == "record")
