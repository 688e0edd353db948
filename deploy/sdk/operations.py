"""The paths of the OpenAPI document as methods: each describes its request once, for both clients."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from deploy.sdk.shapes import Schema, annotation, docstring, references, typed_dict

NOT_WRITTEN: Final[Mapping[str, str]] = {
    "follow_run": "a stream; the template has `follow` and `wait`",
    "hear_alerts": "Prometheus' Alertmanager calls it, with a body of its own",
}
"""Operations that no method is made of, and why."""
_JSON: Final = "application/json"
_PAGING: Final = (("cursor", "next_cursor"), ("after", "next_after"), ("before", "next_before"))
"""How the lists of the API go on: what the next page is asked with, and what the last one says."""
_FEW: Final = 2
"""So many parameters of a query are written as such; more become a `TypedDict` that both clients share."""
_STREAMED: Final = frozenset({"follow", "format"})
"""Parameters that make another kind of answer, which these methods do not read."""


@dataclass
class Operation:
    """What one path and method say."""

    name: str
    method: str
    path: str
    text: str
    positional: list[str] = field(default_factory=list)
    query: dict[str, Schema] = field(default_factory=dict)
    required: list[str] = field(default_factory=list)
    body: Schema | None = None
    body_required: bool = False
    files: Mapping[str, Schema] | None = None
    takes_key: bool = False
    fixed: dict[str, str] = field(default_factory=dict)
    answers: dict[int, str] = field(default_factory=dict)
    shapes: list[str] = field(default_factory=list)
    """What is defined for this operation alone."""

    @property
    def has_query_shape(self) -> bool:
        """Whether its query is a `TypedDict`; one set of keywords is enough."""
        return len(self.query) > _FEW and self.body is None

    @property
    def query_shape(self) -> str:
        """The name of that."""
        return "".join(part.title() for part in self.name.split("_")) + "Query"


def operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    """Every operation of the document that a method is made of, in the document's order."""
    for path, methods in document["paths"].items():
        for method, said in methods.items():
            if said["operationId"] not in NOT_WRITTEN:
                yield _read(path, method, said)


def _read(path: str, method: str, said: Mapping[str, Any]) -> Operation:
    made = Operation(said["operationId"], method.upper(), path, said["description"])
    _read_parameters(made, said)
    for status, response in said["responses"].items():
        if status.startswith("2"):
            made.answers[int(status)] = _answer(response.get("content", {}))
            if "text/csv" in response.get("content", {}):
                made.fixed["format"] = "json"
    content = said.get("requestBody", {}).get("content", {})
    if _JSON in content:
        schema = content[_JSON]["schema"]
        made.body_required = said["requestBody"].get("required", False)
        made.body = next(part for part in schema.get("anyOf", [schema]) if "$ref" in part)
    elif "multipart/form-data" in content:
        made.files = content["multipart/form-data"]["schema"]["properties"]
    return made


def _read_parameters(made: Operation, said: Mapping[str, Any]) -> None:
    for parameter in said.get("parameters", ()):
        name, schema = parameter["name"], parameter["schema"]
        match parameter["in"]:
            case "path":
                made.positional.append(name)
            case "query" if name not in _STREAMED:
                made.query[name] = schema
                if parameter.get("required"):
                    made.required.append(name)
            case "header":
                made.takes_key = made.takes_key or name == "idempotency-key"


def _answer(content: Mapping[str, Any]) -> str:
    if _JSON in content:
        return annotation(content[_JSON]["schema"], asked=False)
    return "str" if content else "None"


def paging(operation: Operation, schemas: Mapping[str, Schema]) -> tuple[str, str, str] | None:
    """How a list goes on: the parameter, the field of the answer, and the type of an item; None for what is no list."""
    shape = schemas.get(operation.answers.get(200, ""), {}).get("properties", {})
    for asks, tells in _PAGING:
        if asks in operation.query and tells in shape:
            return asks, tells, annotation(shape["items"]["items"], asked=False)
    return None


def answered(every: list[Operation], document: Mapping[str, Any]) -> Iterator[str]:
    """The names of the schemas that are answered, directly."""
    names = {operation.name for operation in every}
    for methods in document["paths"].values():
        for said in methods.values():
            if said["operationId"] in names:
                for status, response in said["responses"].items():
                    if status.startswith("2"):
                        yield from references(response)


def asked(every: list[Operation]) -> Iterator[str]:
    """The names of the schemas that are asked, directly."""
    for operation in every:
        yield from references(operation.body)
        yield from references(operation.query)


def written(operation: Operation, schemas: Mapping[str, Schema]) -> str:
    """The methods of an operation: itself, and for a list the one that goes through all its pages."""
    answer = " | ".join(dict.fromkeys(operation.answers.values()))
    parts = [_head("_Operation", operation.name, _signature(operation), f"_Call[{answer}]", operation.text)]
    parts[0] += f"        return {_call(operation)}"
    if found := paging(operation, schemas):
        asks, tells, item = found
        name = f"each_{operation.name.removeprefix('list_').removeprefix('get_').removesuffix('s')}"
        text = f"What `{operation.name}` answers, one by one; further pages are fetched as they are needed."
        each = _head("_Iteration", name, _signature(operation), f"_Pages[{item}]", text)
        parts.append(f'{each}        return _Pages({_call(operation)}, "{asks}", "{tells}")')
    return "\n\n".join(parts)


def _head(decorator: str, name: str, signature: str, returns: str, text: str) -> str:
    lines = [f"    @{decorator}", f"    def {name}({signature}) -> {returns}:", *docstring(text, " " * 8), ""]
    return "\n".join(lines)


def _signature(operation: Operation) -> str:
    """The parameters: what is in the path, then keywords."""
    found = ["self"]
    found += [f"{_argument(operation, part)}: {_path_type(part)}" for part in operation.positional]
    keywords = []
    if operation.files:
        keywords += [f"deployment: {operation.files['deployment']['title']}", "release: bytes"]
    if operation.takes_key:
        keywords.append("idempotency_key: str | None = None")
    if not operation.has_query_shape:
        for name in sorted(operation.query, key=lambda name: name not in operation.required):
            kind = annotation(operation.query[name], asked=True)
            optional = kind if "None" in kind.split(" | ") else f"{kind} | None"
            keywords.append(f"{name}: {kind}" if name in operation.required else f"{name}: {optional} = None")
    if keywords:
        found += ["*", *keywords]
    if operation.has_query_shape:
        found.append(f"**query: Unpack[{operation.query_shape}]")
    if operation.body is not None:
        found.append(f"**body: Unpack[{annotation(operation.body, asked=True)}]")
    return ", ".join(found)


def _path_type(part: str) -> str:
    return "UUID | str" if part.endswith("id") else "int" if part == "sequence" else "str"


def _call(operation: Operation) -> str:
    """The request, as an expression."""
    path = re.sub(r"\{(\w+)\}", lambda found: f"{{_at({_argument(operation, found[1])})}}", operation.path)
    answers = ", ".join(f"{status}: {answer}" for status, answer in operation.answers.items())
    given = [f'"{operation.method}"', f'{"f" if operation.positional else ""}"{path}"', f"{{{answers}}}"]
    if operation.files:
        given.append("files=_parts(deployment, release)")
    if operation.takes_key:
        given.append("key=idempotency_key or str(uuid4())")
    pairs = [f'"{name}": {name}' for name in operation.query]
    fixed = [f'"{name}": "{value}"' for name, value in operation.fixed.items()]
    if operation.has_query_shape:
        pairs = ["**query"]
    if pairs or fixed:
        given.append(f"query={{{', '.join([*pairs, *fixed])}}}")
    if operation.body is not None:
        given.append("body=body" if operation.body_required else "body=body or None")
    return f"_Call({', '.join(given)})"


def query_shapes(every: list[Operation]) -> Iterator[str]:
    """The `TypedDict` of each query that has one, and of a part of a form."""
    for operation in every:
        if operation.has_query_shape:
            said = f"How `{operation.name}` may be narrowed."
            shape = {"description": said, "properties": operation.query, "required": operation.required}
            yield typed_dict(operation.query_shape, shape)
        for part in (operation.files or {}).values():
            if "properties" in part:
                yield typed_dict(part["title"], part)


def _argument(operation: Operation, name: str) -> str:
    """`id` in a path is the id of what stands before it."""
    if name != "id":
        return name
    before = operation.path.split("/{id}")[0].rsplit("/", 1)[-1]
    return f"{before.removesuffix('s').replace('-', '_')}_id"
