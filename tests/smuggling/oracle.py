"""What may have come of a case: the app's list of requests against the answers that the sender got.

It knows nothing of how hookward reads a request: only what was sent on purpose, what the app says it saw, and which
answer says that it is for which request. Must never accept a request in the app that nobody sent as one.
"""

import re
from enum import Enum
from posixpath import normpath
from urllib.parse import unquote

from signer import KEY, PATH, SECRET, is_signed


class Shape(Enum):
    """What the sender must be told."""

    # One refusal, the end of the connection, and nothing in the app.
    REFUSED = 1
    # One refusal, and the followers are served.
    DECLINED = 2
    # One request, and the followers are served.
    ONE = 3
    # One request, and nothing that follows it counts.
    LAST = 4
    # The head may be with the app, the body must not look whole; the end of the connection.
    CUT = 5
    # Any of these: what holds for every case is what counts.
    SAFE = 6


FOLLOWERS = ["f", "g"]
# 32 bytes in Base64: what a signature looks like, the right one above all.
A_MAC = re.compile(rb"[A-Za-z0-9+/]{43}=")


def faults(case, talk, entries):
    """Every rule that is broken, in words."""
    return [*_for_all(case, talk, entries), *_shape(case, talk, entries)]


def mark_of(target):
    """The mark in a target: the case and which request of it; nothing where there is none."""
    _, found, rest = target.partition("m=")
    case, _, which = rest.partition("&")[0].partition(".")
    return (case, which) if found else None


def marks_in(text):
    """Every mark in a text, each once."""
    return set(re.findall(r"m=([a-z]\d+)\.(\w)", text))


def _which(target):
    mark = mark_of(target or "")
    return mark[1] if mark else None


def _for_all(case, talk, entries):
    if not talk.ended:
        yield "the connection does not end"
    for head in talk.interim:
        if re.search(rb"(?im)^(content-length|transfer-encoding|connection|upgrade)\s*:", head):
            yield f"an interim answer of a body or of a connection: {head!r}"
    if talk.rest and not case.silent:
        yield f"no answer begins with {talk.rest[:60]!r}"
    for answer in talk.answers:
        if KEY in answer.says or SECRET.removeprefix("whsec_").encode() in answer.says or A_MAC.search(answer.says):
            yield f"a refusal says too much: {answer.says!r}"
    answered = [_which(answer.seen) for answer in talk.answers if answer.seen is not None]
    whole = [_which(entry.target) for entry in entries if entry.complete]
    broken = [_which(entry.target) for entry in entries if not entry.complete]
    # The app may answer before it has the body: then its request is answered and not whole.
    in_app = [_which(entry.target) for entry in entries if entry.complete or _which(entry.target) in answered]
    may_be_lost = {"a"} if case.empty else set(case.lost)
    in_app = [which for which in in_app if which in answered or which not in may_be_lost]
    if len(set(whole)) < len(whole):
        yield f"the app saw a request twice: {whole}"
    for answer in talk.answers:
        mark = mark_of(answer.seen or "")
        if mark and mark[0] != case.mark:
            yield f"an answer to another sender: {answer.seen!r}"
        if mark and mark[1] in FOLLOWERS and answer.status == 200 and answer.body != b"seen":
            yield f"the answer to {mark[1]} is {answer.body[:80]!r}"
    if case.ordered and in_app != answered:
        yield f"the app saw {in_app}, answered were {answered}"
    if not case.ordered and sorted(map(str, in_app)) != sorted(map(str, answered)):
        yield f"the app saw {in_app}, answered were {answered}"
    if any(which not in ("a", *FOLLOWERS) for which in whole + broken):
        yield f"a hidden request reached the app: {whole + broken}"
    left = [which for which in broken if which not in answered]
    # One that an app refuses by itself is not whole there either.
    if left not in ([], ["a"]) or (left and case.ordered and len(entries) > 1 and not case.foreign):
        yield f"half a request in the app, or something behind it: {left} of {[*whole, *broken]}"
    for entry in entries:
        yield from _entry(case, entry)


def _entry(case, entry):
    which = _which(entry.target)
    expected = {"a": case.bodies | ({b""} if case.empty else set()), "f": {b""}, "g": {case.genuine}}.get(which, set())
    if entry.complete and entry.body not in expected:
        yield f"the body of {which} is {entry.body[:80]!r}, not one of {[body[:80] for body in expected]}"
    if which == "a" and entry.method != case.method:
        yield f"the method is {entry.method!r}, not {case.method!r}"
    names = [name.lower() for name, _ in entry.headers]
    plain = [(name.lower().replace("_", "-"), value) for name, value in entry.headers]
    told = [value for name, value in plain if name in ("x-forwarded-for", "x-forwarded-proto")]
    if case.origin and sorted(told) != sorted(case.origin):
        yield f"the app was told {told}, not {case.origin}"
    if _may_be_protected(entry.target):
        if entry.target.partition("?")[0] != PATH:
            yield f"another spelling of the protected path: {entry.target!r}"
        if not entry.complete or not is_signed(entry.headers, entry.body) or "verified-event" not in names:
            yield f"an unsigned request at the protected route: {entry.target!r}"
    elif "verified-event" in names:
        yield "a proof on a page"
    for name in ("host", "content-length", "transfer-encoding"):
        if names.count(name) > 1 or names.count(name.replace("-", "_")) > (name == "host"):
            yield f"{name} is there more than once"
    if names.count("cookie") > 1:
        yield "cookie is there more than once"
    if "content-length" in names and "transfer-encoding" in names:
        yield "both Content-Length and Transfer-Encoding"


def _may_be_protected(target):
    """Whether anybody could read this path as the protected one."""
    path = target.partition("?")[0].partition("#")[0]
    for _ in range(3):
        segments = [segment.partition(";")[0] for segment in path.replace("\\", "/").split("/")]
        if normpath("/" + "/".join(filter(None, segments))).lower() == PATH:
            return True
        path = unquote(path)
    return False


def _shape(case, talk, entries):
    statuses = [answer.status for answer in talk.answers]
    refused = bool(statuses) and 400 <= statuses[0] < 600 and talk.answers[0].seen is None
    if case.shape is Shape.REFUSED:
        if not refused or len(statuses) != 1 or entries:
            yield f"not refused: {statuses}, {len(entries)} in the app"
        elif case.code and talk.answers[0].code not in case.code:
            yield f"refused with {talk.answers[0].code}, not {case.code}"
    elif case.shape is Shape.DECLINED:
        if not refused or statuses[1:] != [200, 200] or len(entries) != len(FOLLOWERS):
            yield f"not one refusal and two answers: {statuses}"
        elif case.code and talk.answers[0].code not in case.code:
            yield f"refused with {talk.answers[0].code}, not {case.code}"
    elif case.shape is Shape.ONE:
        if statuses != [200, 200, 200]:
            yield f"not three answers: {statuses}"
    elif case.shape is Shape.LAST:
        if statuses != [200]:
            yield f"not one answer: {statuses}"
    elif case.shape is Shape.CUT:
        if any(entry.complete for entry in entries) or 200 in statuses or len(statuses) > 1:
            yield f"not cut off: {statuses}, {[entry.complete for entry in entries]} in the app"
    elif case.shape is Shape.SAFE and not statuses and not case.silent and "a" not in case.lost:
        yield "no answer at all"
