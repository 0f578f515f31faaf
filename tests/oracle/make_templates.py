#!/usr/bin/env python3
"""make_templates.py - what Jinja2 makes of chat templates, for tests/oracle/check.py templates.

    scripts/lab oracle tests/oracle/make_templates.py OUT.json [FOLDER]

Renders every FOLDER/*.jinja on a set of conversations, and the small templates below, in an ImmutableSandboxedEnvironment set up
as transformers' apply_chat_template does. Needs Jinja2 alone (Debian's python3-jinja2 of any release since 3.1). Writes a list of
{"name", "template", "arguments", "text" or "error"}; the arguments are those of render_template.c. Templates whose conversations
change a list (append), which that sandbox forbids, are also rendered in a SandboxedEnvironment, "immutable=0".
"""
import datetime
import glob
import json
import os
import sys

import jinja2
import jinja2.ext
import jinja2.sandbox

NOW = datetime.datetime(2026, 3, 7, 9, 5, 2)
BOS, EOS = "<bos>", "<|eos|>"


class Generation(jinja2.ext.Extension):
    """{% generation %}: in transformers it marks what the model wrote; the text is the body's."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_support"), [], [], body).set_lineno(line)

    def _support(self, caller):
        return caller()


def environment(immutable):
    kind = jinja2.sandbox.ImmutableSandboxedEnvironment if immutable else jinja2.sandbox.SandboxedEnvironment
    made = kind(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = NOW.strftime
    return made


ENVIRONMENTS = {True: environment(True), False: environment(False)}

# ---- conversations ---------------------------------------------------------------------------------------------------------


def m(role, content, **more):
    return {"role": role, "content": content, **more}


WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "Weather \"now\" in <a> city & its surroundings.",
    "parameters": {"type": "object", "required": ["city"], "properties": {
        "city": {"type": "string", "description": "The city, e.g. Zürich  "},
        "days": {"type": "integer", "description": "How many days", "default": 3, "minimum": 0.5},
        "unit": {"type": "string", "enum": ["°C", "°F"], "description": "Unit", "default": "°C"}}}}}
COMPLEX = {"type": "function", "function": {
    "name": "plan", "description": "Plans.\nTwo lines.", "strict": True, "return": {"type": "string", "description": "a plan"},
    "parameters": {"type": "object", "properties": {
        "stops": {"type": "array", "description": "Stops", "items": {"type": "string"}, "nullable": True},
        "legs": {"type": "array", "description": "Legs", "items": {"type": "object", "properties": {"km": {"type": "number"}}}},
        "any": {"type": ["string", "null"], "description": "Either"},
        "how": {"description": "Means", "oneOf": [{"type": "object", "description": "o"}, {"type": "string", "default": "x"}]},
        "map": {"type": "object", "description": "Map", "additionalProperties": {"type": "number"}}}}}}
BARE = {"type": "function", "function": {"name": "noop", "description": "Nothing", "parameters": {"type": "object", "properties": {}}}}


def call(name, arguments, id="abcdef123"):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


ASK, ANSWER = m("user", "What is the weather in Zürich?"), m("assistant", "Sunny, 25 °C.")
SYSTEM = m("system", "  You are terse. /no_think ")
TOOL_CALL = m("assistant", "", tool_calls=[call("get_weather", {"city": "Zürich", "days": 2, "x": 1.0, "deep": {"a": [None, True]}})])
TOOL_RESULT = m("tool", '{"temp": 25, "sky": "sunny <b>"}', tool_call_id="abcdef123", name="get_weather")
TOOL_TURNS = [ASK, TOOL_CALL, TOOL_RESULT]
DOCUMENTS = [{"doc_id": 1, "title": "Peaks", "text": "The Säntis is 2502 m high."}, {"doc_id": 2, "title": "Lakes", "text": "<none>"}]

CONVERSATIONS = {
    "one question": dict(messages=[ASK]),
    "system": dict(messages=[SYSTEM, ASK]),
    "several turns": dict(messages=[SYSTEM, ASK, ANSWER, m("user", "And tomorrow?"), m("assistant", "Rain."), m("user", "Sure? ")]),
    "ends with the model": dict(messages=[ASK, ANSWER]),
    "thoughts": dict(messages=[ASK, m("assistant", "<think>\nHm,  well.\n</think>\n\nSunny."), m("user", "Why?"),
                               m("assistant", "<think>a</think>Because.")]),
    "thoughts apart": dict(messages=[ASK, m("assistant", "Sunny.", reasoning_content="\nLooked out.\n", thinking="Looked out.")]),
    "tools offered": dict(messages=[SYSTEM, ASK], tools=[WEATHER, COMPLEX, BARE]),
    "one tool, no system": dict(messages=[ASK], tools=[WEATHER]),
    "tool called": dict(messages=[SYSTEM] + TOOL_TURNS, tools=[WEATHER]),
    "tool answered": dict(messages=TOOL_TURNS + [ANSWER, m("user", "Thanks!")], tools=[WEATHER, BARE]),
    "two calls": dict(messages=[ASK, m("assistant", None, tool_calls=[call("get_weather", {"city": "Bern"}), call("noop", {}, "xyzxyz789")]),
                                TOOL_RESULT, m("tool", "done", tool_call_id="xyzxyz789"), ANSWER], tools=[WEATHER]),
    "arguments as text": dict(messages=[ASK, m("assistant", None, tool_calls=[call("noop", '{"a": 1}')]), TOOL_RESULT]),
    "call with text": dict(messages=[ASK, m("assistant", "Let me look. ", tool_calls=[call("get_weather", {"city": "Bern"})]), TOOL_RESULT]),
    "tool result first": dict(messages=[TOOL_RESULT, ASK]),
    "call without function": dict(messages=[ASK, m("assistant", "", tool_calls=[{"name": "noop", "arguments": {}}])]),
    "documents": dict(messages=[ASK], documents=DOCUMENTS, variables={"controls": {"citations": True}, "enable_citations": True}),
    "documents and tools": dict(messages=[SYSTEM, ASK], documents=DOCUMENTS, tools=[WEATHER]),
    "no thinking": dict(messages=[ASK, ANSWER, ASK], variables={"enable_thinking": False, "thinking": False}),
    "thinking": dict(messages=[ASK], variables={"enable_thinking": True, "thinking": True, "reasoning_effort": "high"}),
    "built-in tools": dict(messages=[SYSTEM, ASK], variables={"builtin_tools": ["browser", "python", "code_interpreter"]}),
    "built-in tool called": dict(messages=[ASK, m("assistant", "", tool_calls=[call("python", {"code": "1 + 1"})]), m("ipython", {"output": "2"})],
                                 variables={"builtin_tools": ["python"]}),
    "custom tools": dict(messages=[SYSTEM, ASK], variables={"custom_tools": [WEATHER], "tools_in_user_message": False, "date_string": "7 Mar 2026"}),
    "empty": dict(messages=[]),
    "empty contents": dict(messages=[m("system", ""), m("user", ""), m("assistant", ""), m("user", " ")]),
    "no content": dict(messages=[{"role": "user"}, {"role": "assistant"}, m("user", None)]),
    "parts": dict(messages=[m("user", [{"type": "text", "text": "Look: "}, {"type": "image"}, {"type": "text", "text": "a cat?"}]),
                            m("assistant", [{"type": "text", "text": "Yes."}])]),
    "tool result in parts": dict(messages=[ASK, TOOL_CALL, m("tool", [{"output": "sunny"}, {"type": "text", "text": "25"}], tool_call_id="abcdef123")]),
    "unicode": dict(messages=[m("system", "Réponds en 日本語 \U0001f999"), m("user", "ÄÖÜ ß \u00a0\u2028\u3000 e\u0301 \u200b\ud83d\ude00 end\u00a0")]),
    "looks like a template": dict(messages=[m("user", "{{ bos_token }} {% if %} {# #} <|im_end|> \\n \" ' \\ </s> <tool_response>x</tool_response>")]),
    "roles out of order": dict(messages=[ASK, ASK, ANSWER, ANSWER]),
    "system in the middle": dict(messages=[ASK, SYSTEM, ANSWER, ASK]),
    "unknown role": dict(messages=[m("narrator", "Meanwhile"), ASK]),
    "developer": dict(messages=[m("developer", "Be kind."), ASK, m("assistant", "<|channel|>final<|message|>no")]),
    "space around": dict(messages=[m("user", "\n\n  padded \t\n"), m("assistant", "\n\nlead"), m("user", "x\n")]),
    "names": dict(messages=[m("user", "hi", name="Ada"), m("assistant", "yes", name="Bob"), m("user", "ok")]),
    "many turns": dict(messages=[x for i in range(40) for x in (m("user", f"q{i}"), m("assistant", f"a{i}"))] + [m("user", "last")]),
}

# ---- small templates -------------------------------------------------------------------------------------------------------

VARIABLES = {
    "n": 3, "neg": -7, "x": 2.5, "big": 1e22, "tiny": 1.5e-7, "yes": True, "no": False, "nil": None, "s": "Héllo wörld", "t": " \n pad\t ",
    "q": "it's \"quoted\" \\ \n\u0001", "l": [3, 1, 2], "words": ["b", "A", "c", "a"], "mixed": [1, "a", None, 2.0, [True], {"k": "v"}],
    "d": {"b": 1, "a": {"c": [1, 2]}, "items": "hidden", "z": None}, "rows": [{"n": "x", "v": 2}, {"n": "y", "v": 1}, {"n": "Z"}, {"n": "x", "v": 0}],
    "e": [], "ed": {}, "html": "<a href='x'>&\"</a>", "lines": "one\n\ntwo\r\nthree\n", "u": "日本語 \U0001f999"}

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "templates.jinja"), encoding="utf-8") as f:
    SNIPPETS = [part.removesuffix("\n") for part in f.read().split("\n----\n")]


def expand(snippets):
    """A snippet that begins with '@' is a list of expressions, one a line: a template for each."""
    for snippet in snippets:
        if snippet.startswith("@"):
            yield from ("{{ " + line + " }}" for line in snippet.splitlines()[1:] if line.strip())
        else:
            yield snippet


# ---- cases -----------------------------------------------------------------------------------------------------------------


def case(name, template, conversation, generation, immutable):
    c = {"messages": [], "tools": None, "documents": None, "variables": {}, **conversation}
    result = {"name": name, "template": template, "arguments": [
        f"{key}={json.dumps(c[key], ensure_ascii=False)}" for key in ("messages", "tools", "documents", "variables") if c[key] is not None] + [
        f"bos_token={BOS}", f"eos_token={EOS}", f"generation={generation:d}", f"immutable={immutable:d}", f"now={NOW:%Y-%m-%d %H:%M:%S}"]}
    data = json.loads(json.dumps(c))  # nothing that one case changes is seen by another
    try:
        compiled = ENVIRONMENTS[immutable].from_string(template)
        result["text"] = compiled.render(**{**dict(messages=data["messages"], tools=data["tools"], documents=data["documents"],
                                                   add_generation_prompt=generation, bos_token=BOS, eos_token=EOS), **data["variables"]})
        result["text"].encode()
    except Exception as e:  # whatever Python raises, a template may raise
        result.pop("text", None)
        result["error"] = f"{type(e).__name__}: {e}"
    return result


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    cases = []
    for path in sorted(glob.glob(os.path.join(sys.argv[2], "*.jinja"))) if len(sys.argv) == 3 else []:
        with open(path, encoding="utf-8", newline="") as f:
            template = f.read()
        for name, conversation in CONVERSATIONS.items():
            for generation in (True, False):
                label = f"{os.path.basename(path)}: {name}{', generation' * generation}"
                cases.append(case(label, template, conversation, generation, True))
                if ".append(" in template:
                    cases.append(case(f"{label}, mutable", template, conversation, generation, False))
    for i, snippet in enumerate(expand(SNIPPETS)):
        cases.append(case(f"small template {i}: {snippet[:60]!r}", snippet, dict(variables=VARIABLES), True, "append" not in snippet))
    with open(sys.argv[1], "w", encoding="utf-8") as f:
        json.dump(cases, f)
    print(f"Jinja2 {jinja2.__version__}: {len(cases)} renderings, {sum('error' in c for c in cases)} of them errors")


if __name__ == "__main__":
    main()
