#!/usr/bin/env python3
"""Writes target-oracle.json: mutated request targets, each with the verdict of target_rule.py (a copy of the reference
implementation of NEXTJS.md). Deterministic. Run it here: python3 make-target-oracle.py"""
import json
import os
import random

import target_rule

HERE = os.path.dirname(os.path.abspath(__file__))
PER_SPEC = 1000
METHODS = ["POST", "POST", "POST", "GET", "HEAD", "PUT"]
SPECS = [
    dict(base="", locales=["en", "fr", "sk"], aliases=[], routes=["/api/webhooks/clerk", "/api/clerk-webhook"]),
    dict(base="/base", locales=["en", "fr"], aliases=["/hooks/clerk", "/legacy-hook"], routes=["/api/webhooks/clerk"]),
    dict(base="", locales=[], aliases=["/bf/clerk"],
         routes=["/api/hooks/*", "/api/hooks/special/deep", "/api/hooks/inner/*", "/api/clerk"]),
    dict(base="/app/web", locales=["en-US"], aliases=[], routes=["/api/Webhooks/Clerk", "/v1/in/*"]),
    dict(base="", locales=["de"], aliases=[], routes=["/hook/*"]),
    dict(base="", locales=["en"], aliases=[], routes=["/", "/api/hook"]),
    dict(base="", assets="/cdn/x", locales=["en"], aliases=["/old/hook"], routes=["/api/hook"]),
]
SUFFIXES = [".json", ".rsc", ".prefetch.rsc", ".segment.rsc", ".action", ".html", ".txt", ".body", ".meta", ".png",
            ".segments/_tree.segment.rsc", "/index", "/route", "/page", "/index.json", "/.json", "/.rsc/", "/x", "x", "-status", "/", "//"]
CUTS = ["?", "#", ";", ";x=1", "%3f", "%3F/x", "%23", "%3b", "%3Bx/y", "%00", "%00.png", "?a=1", "?url=%2Fapi%2Fhooks",
        "?a=%zz&b=../..", "?#", "%2523x"]
INSERTS = ["/", "//", "\\", "%2f", "%5C", "%252F", "/.", "/..", "/./", "/x/../", "/%2e/", "/%2E%2e/", "/x/.%2e/", "%2f..%2f",
           "/%252e%252e/", "/x%2f..%2f", ";v=1", "%09", "%20", "%0d", "\t", "\x0c", "\xa0", "%A0", "%c2%a0", "%ef%bb%bf",
           "%C3%A9", "%u002f", "%c0%af", "%e0%80%af", "%EF%BC%8F", "%c0%ae%c0%ae/", "%", "%2", "%zz", "%25", "..;/", "/...", "+"]
TWINS = {"k": "%e2%84%aa", "s": "%C5%BF", "i": "%c4%b1", "c": "%uff43", "e": "%c1%a5", "r": "%u0072", "/": "%c0%af",
         "a": "%EF%BD%81", "h": "%f0%80%81%a8", "b": "%E0%81%A2"}


def encode(rng, text, rounds):
    """Percent-encodes one to four characters, each `rounds` times."""
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(text))
        if text[at] == "%" or ord(text[at]) > 126:
            continue
        code = ("%%%02x" if rng.random() < 0.5 else "%%%02X") % ord(text[at])
        for _ in range(rounds - 1):
            code = "%25" + code[1:]
        text = text[:at] + code + text[at + 1:]
    return text


def insert(rng, text, piece):
    at = rng.randrange(len(text) + 1)
    return text[:at] + piece + text[at:]


def image(rng, spec, text):
    path = text.split("?")[0]
    value = rng.choice([path, "https://app.example.com" + path, "//host" + path, path[1:], "http:" + path, path + "?x=1",
                        "/_next/image?url=" + path])
    for _ in range(rng.choice([0, 1, 1, 1, 2, 5])):
        value = "".join(c if c.isalnum() or c in ".-_" else "%%%02X" % ord(c) for c in value)
    key = rng.choice(["url", "url", "url", "%75rl", "URL", "url[]", "src"])
    end = rng.choice(["", "", "/", "/x", ".json", "x"])
    head = rng.choice(["", "", "/cdn", "/_next/data/BUILDID", spec["base"], spec["base"] + "/" + rng.choice(spec["locales"] or ["x"])])
    more = rng.choice(["", "", "", "&url=%2Flogo.png"])
    return f"{head}/_next/image{end}?{key}={value}&w=640&q=75{more}"


def mutate(rng, spec, text):
    locales = spec["locales"] or ["xx"]
    kind = rng.randrange(15)
    if kind == 0:
        return encode(rng, text, 1)
    if kind == 1:
        return encode(rng, text, rng.choice([2, 2, 3, 4, 5, 6]))
    if kind == 2:
        at = rng.randrange(len(text))
        return text[:at] + text[at].swapcase() + text[at + 1:]
    if kind == 3:
        return "/" + rng.choice([str.lower, str.upper, str.title])(rng.choice(locales)) + text
    if kind == 4:
        return (spec.get("assets") or spec["base"] or "/base") + text
    if kind == 5:
        page = rng.choice(["", "", "/index", "/index/index", "/INDEX", "/index/" + rng.choice(locales)]) + text
        return rng.choice(["", "", "/cdn"]) + "/_next/data/" + rng.choice(["BUILDID", "rel/1.2", "a%2fb", "x"]) + page + rng.choice([".json", ".json", ""])
    if kind == 6:
        return text + rng.choice(SUFFIXES)
    if kind == 7:
        return text + rng.choice(CUTS)
    if kind in (8, 9):
        return insert(rng, text, rng.choice(INSERTS))
    if kind == 10:
        slashes = [i for i, c in enumerate(text) if c == "/"]
        at = rng.choice(slashes) if slashes else 0
        return text[:at] + rng.choice(INSERTS) + text[at:]
    if kind == 11:
        return "".join(TWINS[c] if c in TWINS and rng.random() < 0.3 else c for c in text)
    if kind == 12:
        return image(rng, spec, text)
    if kind == 13:
        return rng.choice(["/x/..", "/%2e%2e", "/_next/static/../..", "/.", "/", "\\", "http://host", "", "*"]) + text
    return text + rng.choice(["?x=1", "?_rsc=1a2b3", "?a=b#c", "?a=\\b", "?../..", "/?", "?\x01", "?%C3%A9;x"])


def route_of(spec, target):
    """The index of the most specific route that the path spells out plainly."""
    path = target.split("?")[0]
    found = []
    for index, route in enumerate(spec["routes"]):
        stem = spec["base"] + route.removesuffix("/*")
        if route.endswith("/*"):
            if path == stem or path.startswith(stem + "/"):
                found.append((len(stem), 0, index))
        elif path in (stem, stem + "/"):
            found.append((len(stem), 1, index))
    return max(found)[2]


def main():
    rng = random.Random(20261121)
    with open(os.path.join(HERE, "legitimate-targets.txt"), encoding="utf-8") as file:
        legitimate = file.read().split()
    specs = []
    for spec in SPECS:
        exact = [r for r in spec["routes"] if not r.endswith("/*")]
        prefix = [r.removesuffix("*") for r in spec["routes"] if r.endswith("/*")]
        rule = target_rule.Rule(exact, prefix, spec["base"], spec["locales"], spec["aliases"], spec.get("assets", ""))
        paths = [r.replace("/*", "/stripe") for r in spec["routes"]] + [r.removesuffix("/*") for r in spec["routes"]]
        seeds = [spec["base"] + p for p in paths] * 3 + paths + spec["aliases"] * 2
        seeds += [s + end for s in paths for end in (".json", "-old", "/more")] + rng.sample(legitimate, 16)
        cases, seen = [], set()
        while len(cases) < PER_SPEC:
            target = rng.choice(seeds)
            for _ in range(rng.choice([0, 1, 1, 1, 2, 2, 3, 4])):
                target = mutate(rng, spec, target or "/")
            method = rng.choice(METHODS)
            if len(target) > 120 or (method, target) in seen:
                continue
            seen.add((method, target))
            verdict = rule.classify(method, target)
            # The rule refuses what cannot be spelled, so only `verify` has a route.
            cases.append([method, target, route_of(spec, target) if verdict == "verify" else verdict])
        specs.append({**spec, "cases": cases})
    with open(os.path.join(HERE, "target-oracle.json"), "w", encoding="ascii") as file:
        file.write("[\n")
        for number, spec in enumerate(specs):
            cases = spec.pop("cases")
            head = json.dumps(spec)[:-1]
            rows = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
            file.write(f'{head}, "cases": [\n{rows}\n]}}{"," if number + 1 < len(specs) else ""}\n')
        file.write("]\n")


if __name__ == "__main__":
    main()
