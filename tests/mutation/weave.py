"""Weaves all mutants of a source file into it, each behind a switch, so that one build holds them all.

cargo-mutants says what the mutants are; where it would build once for each, `mutant::on(7)` chooses one when the tests
run. A mutant changes its smallest enclosing expression, and only one is on at a time, so its branch holds that
expression as it was written, with the one change.
"""

from dataclasses import dataclass, field

import tree_sitter_rust
from tree_sitter import Language, Node, Parser

PARSER = Parser(Language(tree_sitter_rust.language()))
# The kinds of expressions that hold what a genre changes.
ENCLOSING = {
    "BinaryOperator": ("binary_expression", "compound_assignment_expr"),
    "UnaryOperator": ("unary_expression", "negative_literal"),
    "StructField": ("struct_expression",),
}


class NotWoven(Exception):
    """This mutant cannot be put behind a switch: it needs a build of its own."""


class NotRust(Exception):
    """This mutant is no Rust: `||` beside a `let`."""


@dataclass
class Mutant:
    """One change, as cargo-mutants lists it, with bytes for its place."""

    number: int
    file: str
    genre: str
    text: str  # such as "replace < with <= in accept"
    line: str  # the source line, trimmed
    row: int
    start: int
    end: int
    replacement: str
    nth: int = 1  # which of those with this text on this line


@dataclass
class Anchor:
    """An expression (or guard, arm, body) with what can take its place."""

    start: int
    end: int
    kind: str
    mutants: list[Mutant] = field(default_factory=list)


@dataclass
class Woven:
    """The text with the switches, and where in it each mutant's branch and each anchor lies."""

    text: bytes
    branches: list[tuple[int, int, Mutant]]
    anchors: list[tuple[int, int, Anchor]]


def enclosing(root: Node, start: int, end: int, kinds: tuple[str, ...]) -> Node:
    """The innermost node of these kinds around these bytes."""
    node = root.descendant_for_byte_range(start, end)
    while node is not None and node.type not in kinds:
        node = node.parent
    if node is None:
        raise NotWoven
    return node


def binds(guard: Node) -> None:
    """Refuses a guard with `let` in it: its arm needs what that binds."""
    if guard.type in ("let_condition", "let_chain") or any(child.type == "let_condition" for child in guard.children):
        raise NotWoven


def place(root: Node, mutant: Mutant) -> tuple[int, int, str]:
    """Where its anchor lies, and of what kind that is."""
    if mutant.genre == "FnValue":
        body = enclosing(root, mutant.start, mutant.end, ("function_item",)).child_by_field_name("body")
        return body.start_byte + 1, body.start_byte + 1, "body"
    if mutant.genre == "MatchArmGuard":
        binds(root.descendant_for_byte_range(mutant.start, mutant.end))
        return mutant.start, mutant.end, "expression"
    if mutant.genre == "MatchArm":
        arm = enclosing(root, mutant.start, mutant.start + 1, ("match_arm",))
        pattern = arm.child_by_field_name("pattern")
        guard = pattern.child_by_field_name("condition")
        if guard is not None:
            binds(guard)
            return guard.start_byte, guard.end_byte, "guard"
        return pattern.end_byte, pattern.end_byte, "arm"
    node = root.descendant_for_byte_range(mutant.start, mutant.end)
    if mutant.genre == "BinaryOperator" and node.parent.type == "let_chain":
        raise NotRust
    node = enclosing(root, mutant.start, mutant.end, ENCLOSING[mutant.genre])
    if node.type == "binary_expression":
        operator = node.child_by_field_name("operator")
        if (operator.start_byte, operator.end_byte) != (mutant.start, mutant.end):
            raise NotWoven
    return node.start_byte, node.end_byte, "expression"


def constant(root: Node, mutant: Mutant) -> tuple[str, int, int] | None:
    """The name of the `const fn` around it, and where its `const` stands: a switch is read when the program runs."""
    node = root.descendant_for_byte_range(mutant.start, mutant.end)
    while node is not None and node.type != "function_item":
        node = node.parent
    words = [child for child in node.children if child.type == "function_modifiers"] if node else []
    if not words or words[0].text != b"const":
        return None
    return node.child_by_field_name("name").text.decode(), words[0].start_byte, words[0].end_byte


def arms_of(woven: "Woven", at: int) -> list[Mutant]:
    """The mutants that take away arms of the match around this byte of the woven text."""
    node = enclosing(PARSER.parse(woven.text).root_node, at, at + 1, ("match_expression",))
    arms = [anchor for begin, end, anchor in woven.anchors if node.start_byte <= begin and end <= node.end_byte]
    return [mutant for anchor in arms if anchor.kind in ("arm", "guard") for mutant in anchor.mutants]


def weave(source: bytes, mutants: list[Mutant], constants: set[str]) -> tuple[Woven, list[Mutant], list[Mutant]]:
    """The source with these mutants, those that cannot be woven, and those that are no Rust.

    Functions of these names must stay `const`.
    """
    root = PARSER.parse(source).root_node
    found: dict[tuple[int, int, str], Anchor] = {}
    left, wrong = [], []
    for mutant in mutants:
        try:
            modifier = constant(root, mutant)
            if modifier is not None and modifier[0] in constants:
                raise NotWoven
            key = place(root, mutant)
            if modifier is not None:
                word = (*modifier[1:], "const")
                found.setdefault(word, Anchor(*word))
        except NotWoven:
            left.append(mutant)
            continue
        except NotRust:
            wrong.append(mutant)
            continue
        found.setdefault(key, Anchor(*key)).mutants.append(mutant)
    # Outer before inner; an arm's switch stands outside those of its guard.
    order = sorted(found.values(), key=lambda anchor: (anchor.start, -anchor.end, anchor.kind != "guard"))
    woven = Woven(b"", [], [])
    out = bytearray()
    rest = iter(order)
    following = next(rest, None)

    def copy(start: int, end: int) -> None:
        nonlocal following
        at = start
        while following is not None and following.start >= at and following.end <= end:
            anchor = following
            following = next(rest, None)
            out.extend(source[at : anchor.start])
            write(anchor)
            at = anchor.end
        out.extend(source[at:end])

    def branch(text: bytes, mutant: Mutant) -> None:
        begin = len(out)
        out.extend(text)
        woven.branches.append((begin, len(out), mutant))

    def write(anchor: Anchor) -> None:
        if anchor.kind == "const":
            return
        begin = len(out)
        numbers = [mutant.number for mutant in anchor.mutants]
        switch = " || ".join(f"crate::mutant::on({number})" for number in numbers).encode()
        if anchor.kind == "body":
            for mutant in anchor.mutants:
                out.extend(b" if crate::mutant::on(%d) { return " % mutant.number)
                branch(mutant.replacement.encode(), mutant)
                out.extend(b"; }")
        elif anchor.kind == "arm":
            out.extend(b" if !(" + switch + b")")
        elif anchor.kind == "guard":
            out.extend(b"!(" + switch + b") && (")
            copy(anchor.start, anchor.end)
            out.extend(b")")
        else:
            out.extend(b"(")
            for mutant in anchor.mutants:
                out.extend(b"if crate::mutant::on(%d) { " % mutant.number)
                changed = source[anchor.start : mutant.start] + mutant.replacement.encode()
                rest_of_it = source[mutant.end : anchor.end]
                if mutant.genre == "StructField":
                    rest_of_it = rest_of_it.lstrip().removeprefix(b",")
                branch(changed + rest_of_it, mutant)
                out.extend(b" } else ")
            out.extend(b"{ ")
            copy(anchor.start, anchor.end)
            out.extend(b" })")
        woven.anchors.append((begin, len(out), anchor))

    copy(0, len(source))
    woven.text = bytes(out)
    return woven, left, wrong
