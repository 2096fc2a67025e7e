//! JSON that somebody parsed and wrote anew: the same values in the spelling of the libraries that senders use.
//!
//! Candidates come from what arrived, whichever side changed it. Must never parse a body above the bench's limit.
//! Sources: ECMA-262 `JSON.stringify`; Python `json`; Go `encoding/json`; PHP `json_encode`; .NET `System.Text.Json`; Gson.

use bytes::Bytes;

use super::bench::{Bench, keys};
use super::json::{self, Letter, Node};

/// Most secrets of other routes that are combined with another spelling, and the largest body in bytes.
const MOST_OTHERS: usize = 8;
const MOST_COMBINED: usize = 64 * 1024;

/// White space.
#[derive(Clone, Copy)]
enum Layout {
    Between { comma: &'static str, colon: &'static str },
    Indented(&'static str),
}

/// What of a string is escaped besides quotes, backslashes and control characters.
#[derive(Clone, Copy)]
struct Escapes {
    non_ascii: Escape,
    /// Escaped as `\u003c`.
    html: &'static str,
    /// In upper-case hex.
    upper: bool,
    slash: bool,
}

#[derive(Clone, Copy)]
enum Escape {
    Never,
    /// U+2028 and U+2029 alone.
    LineEnds,
    Always,
    /// DEL too.
    AlwaysWithDel,
}

/// The order of keys.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    Kept,
    /// Whole numbers first, as objects of JavaScript have them.
    Js,
    Sorted,
}

struct Style {
    /// Goes on after "The sender signed this JSON ".
    said: &'static str,
    layout: Layout,
    /// `None`: strings as they are.
    escapes: Option<Escapes>,
    js_numbers: bool,
    keys: Keys,
    end: &'static str,
}

const COMPACT: Layout = Layout::Between { comma: ",", colon: ":" };
const SPACED: Layout = Layout::Between { comma: ", ", colon: ": " };
const JS: Escapes = Escapes { non_ascii: Escape::Never, html: "", upper: false, slash: false };
const PYTHON: Escapes = Escapes { non_ascii: Escape::AlwaysWithDel, ..JS };
const GO: Escapes = Escapes { non_ascii: Escape::LineEnds, html: "<>&", ..JS };
const PHP: Escapes = Escapes { non_ascii: Escape::Always, slash: true, ..JS };
const NET: Escapes = Escapes { non_ascii: Escape::AlwaysWithDel, html: "<>&'+`\"", upper: true, slash: false };
const GSON: Escapes = Escapes { non_ascii: Escape::LineEnds, html: "<>&='", ..JS };

const PLAIN: Style = Style {
    said: "compact, without white space",
    layout: COMPACT,
    escapes: None,
    js_numbers: false,
    keys: Keys::Kept,
    end: "",
};
const STRINGIFY: Style = Style {
    said: "compact, as `JSON.stringify` writes it",
    escapes: Some(JS),
    js_numbers: true,
    keys: Keys::Js,
    ..PLAIN
};

/// Likelier ones first.
const STYLES: &[Style] = &[
    PLAIN,
    STRINGIFY,
    Style { said: "indented by 2 spaces", layout: Layout::Indented("  "), ..PLAIN },
    Style { said: "indented by 4 spaces", layout: Layout::Indented("    "), ..PLAIN },
    Style { said: "with a space after commas and colons, as Python writes it", layout: SPACED, ..PLAIN },
    Style {
        said: "with a space after commas and colons and \\u escapes, as Python's `json.dumps` writes it",
        layout: SPACED,
        escapes: Some(PYTHON),
        ..PLAIN
    },
    Style {
        said: "with a space after commas and colons and without \\u escapes, as Python writes it with `ensure_ascii=False`",
        layout: SPACED,
        escapes: Some(JS),
        ..PLAIN
    },
    Style {
        said: "compact with \\u escapes, as Python writes it with narrow separators",
        escapes: Some(PYTHON),
        ..PLAIN
    },
    Style { said: "compact with `<`, `>` and `&` escaped, as Go and Rails write it", escapes: Some(GO), ..PLAIN },
    Style { said: "as Go's encoder writes it, with a final line break", escapes: Some(GO), end: "\n", ..PLAIN },
    Style {
        said: "with escaped slashes and \\u escapes, as PHP's `json_encode` writes it",
        escapes: Some(PHP),
        ..PLAIN
    },
    Style {
        said: "with escaped slashes, as PHP writes it with `JSON_UNESCAPED_UNICODE`",
        escapes: Some(Escapes { non_ascii: Escape::LineEnds, ..PHP }),
        ..PLAIN
    },
    Style {
        said: "with \\u escapes, as PHP writes it with `JSON_UNESCAPED_SLASHES`",
        escapes: Some(Escapes { slash: false, ..PHP }),
        ..PLAIN
    },
    Style { said: "with \\u escapes in upper case, as .NET writes it", escapes: Some(NET), ..PLAIN },
    Style {
        said: "with \\u escapes in upper case",
        escapes: Some(Escapes { upper: true, non_ascii: Escape::Always, ..JS }),
        ..PLAIN
    },
    Style { said: "with `=` and `'` escaped, as Gson writes it", escapes: Some(GSON), ..PLAIN },
    Style { said: "compact, with numbers as JavaScript writes them", js_numbers: true, ..PLAIN },
    Style { said: "compact, with a final line break", end: "\n", ..PLAIN },
    Style { said: "indented by 2 spaces, as `JSON.stringify` writes it", layout: Layout::Indented("  "), ..STRINGIFY },
    Style {
        said: "indented by 4 spaces, as `JSON.stringify` writes it",
        layout: Layout::Indented("    "),
        ..STRINGIFY
    },
    Style { said: "indented by tabs", layout: Layout::Indented("\t"), ..PLAIN },
    Style { said: "indented by 2 spaces, with a final line break", layout: Layout::Indented("  "), end: "\n", ..PLAIN },
    Style {
        said: "indented by 4 spaces, with a final line break",
        layout: Layout::Indented("    "),
        end: "\n",
        ..PLAIN
    },
    Style {
        said: "indented by 4 spaces with escaped slashes, as PHP writes it",
        layout: Layout::Indented("    "),
        escapes: Some(PHP),
        ..PLAIN
    },
    Style {
        said: "indented by 2 spaces with \\u escapes, as Python writes it",
        layout: Layout::Indented("  "),
        escapes: Some(PYTHON),
        ..PLAIN
    },
    Style {
        said: "indented by 4 spaces with \\u escapes, as Python writes it",
        layout: Layout::Indented("    "),
        escapes: Some(PYTHON),
        ..PLAIN
    },
    Style { said: "with a space after colons", layout: Layout::Between { comma: ",", colon: ": " }, ..PLAIN },
    Style { said: "with a space after commas", layout: Layout::Between { comma: ", ", colon: ":" }, ..PLAIN },
    Style { said: "compact, with its keys sorted", keys: Keys::Sorted, ..PLAIN },
    Style { said: "compact, as JavaScript writes it, with its keys sorted", keys: Keys::Sorted, ..STRINGIFY },
    Style { said: "as Go writes it, with its keys sorted", escapes: Some(GO), keys: Keys::Sorted, ..PLAIN },
    Style { said: "as Python writes it, with its keys sorted", layout: SPACED, keys: Keys::Sorted, ..PLAIN },
    Style {
        said: "with \\u escapes, as Python writes it, with its keys sorted",
        layout: SPACED,
        escapes: Some(PYTHON),
        keys: Keys::Sorted,
        ..PLAIN
    },
    Style {
        said: "compact with \\u escapes, as Python writes it, with its keys sorted",
        escapes: Some(PYTHON),
        keys: Keys::Sorted,
        ..PLAIN
    },
    Style {
        said: "indented by 2 spaces, with its keys sorted",
        layout: Layout::Indented("  "),
        keys: Keys::Sorted,
        ..PLAIN
    },
];

const FIX: &str = "Let the raw bytes through: something (a body parser, a gateway, a tunnel's inspector) parses the body and writes it \
                   again, or the sender signs another text than it sends.";

/// Escapes alone first, then every style.
pub(super) fn try_all(bench: &mut Bench<'_, '_>) {
    if !bench.can_try_bodies() || !bench.may_rewrite() {
        return;
    }
    let body = bench.body.clone();
    try_escapes(bench, &body);
    let Some(root) = json::parse(&body) else { return };
    for style in STYLES {
        if bench.is_over() {
            return;
        }
        if bench.body_fits(&[style.write(&root)]) {
            let code = if style.keys == Keys::Sorted { "body_keys_sorted" } else { "body_reserialised" };
            bench.found(
                code,
                format!("The sender signed this JSON {}; it arrives written in another way.", style.said),
                FIX.to_owned(),
            );
            return;
        }
    }
}

fn try_escapes(bench: &mut Bench<'_, '_>, body: &Bytes) {
    let unicode = "body_unicode_escapes";
    let slash = "body_slash_escapes";
    let upper = Escapes { upper: true, non_ascii: Escape::Always, ..JS };
    let has_slashes = body.windows(2).any(|pair| pair == b"\\/");
    for (code, said, escapes) in [
        (if has_slashes { slash } else { unicode }, "with letters and slashes as they are", JS),
        (unicode, "with \\u escapes", PYTHON),
        (unicode, "with \\u escapes in upper case", upper),
        (unicode, "with `<`, `>` and `&` escaped", GO),
        (unicode, "with the \\u escapes of .NET", NET),
        (slash, "with escaped slashes", Escapes { slash: true, ..JS }),
        (slash, "with escaped slashes and \\u escapes", PHP),
        (slash, "with \\u escapes, but slashes as they are", Escapes { slash: false, ..PHP }),
    ] {
        let Some(text) = json::with_strings(body, |letters, out| escapes.write(letters, out)) else { continue };
        if bench.body_fits(&[text.into()]) {
            bench.found(
                code,
                format!("The sender signed this JSON {said}; it arrives with other escapes."),
                FIX.to_owned(),
            );
            return;
        }
    }
}

/// The one combination: a secret of another route, and another spelling.
pub(super) fn try_with_others(bench: &mut Bench<'_, '_>) {
    let suspect = bench.suspect;
    let body = bench.body.clone();
    if bench.has_found() || !bench.can_try_bodies() || suspect.others.is_empty() || body.len() > MOST_COMBINED {
        return;
    }
    let others: Vec<_> = suspect.others.iter().copied().take(MOST_OTHERS).collect();
    let Some(keys) = bench.scheme().map(|scheme| keys(scheme, &others)) else { return };
    let Some(root) = json::parse(&body) else { return };
    let mut tried: Vec<Bytes> = vec![body.clone()];
    for style in STYLES {
        let written = style.write(&root);
        if bench.is_over() || keys.is_empty() {
            return;
        }
        if tried.contains(&written) {
            continue;
        }
        if let Some(name) = bench.others_fit(&keys, std::slice::from_ref(&written)) {
            bench.found(
                "secret_and_body",
                format!(
                    "Two things differ: the delivery is signed with the secret `{name}`, which is configured elsewhere, and the sender signed this JSON {}.",
                    style.said
                ),
                FIX.to_owned(),
            );
            return;
        }
        tried.push(written);
    }
}

impl Style {
    fn write(&self, root: &Node<'_>) -> Bytes {
        let mut out = String::new();
        self.node(root, 0, &mut out);
        out.push_str(self.end);
        out.into()
    }

    fn node(&self, node: &Node<'_>, depth: usize, out: &mut String) {
        match node {
            Node::Object(members) => {
                let members = self.ordered(members);
                self.list(out, depth, ('{', '}'), &members, |(name, value), deeper, out| {
                    self.text(name, out);
                    out.push_str(match self.layout {
                        Layout::Between { colon, .. } => colon,
                        Layout::Indented(_) => ": ",
                    });
                    self.node(value, deeper, out);
                });
            }
            Node::Array(items) => {
                self.list(out, depth, ('[', ']'), items, |item, deeper, out| self.node(item, deeper, out));
            }
            Node::Text(raw) => self.text(raw, out),
            Node::Number(text) => match json::js_number(text).filter(|_| self.js_numbers) {
                Some(number) => out.push_str(&number),
                None => out.push_str(text),
            },
            Node::Word(word) => out.push_str(word),
        }
    }

    fn list<T>(
        &self,
        out: &mut String,
        depth: usize,
        (open, close): (char, char),
        items: &[T],
        mut write: impl FnMut(&T, usize, &mut String),
    ) {
        let deeper = depth.saturating_add(1);
        out.push(open);
        for (index, item) in items.iter().enumerate() {
            match self.layout {
                Layout::Between { comma, .. } if index > 0 => out.push_str(comma),
                Layout::Between { .. } => {}
                Layout::Indented(indent) => {
                    out.push_str(if index > 0 { ",\n" } else { "\n" });
                    out.push_str(&indent.repeat(deeper));
                }
            }
            write(item, deeper, out);
        }
        if let (Layout::Indented(indent), false) = (self.layout, items.is_empty()) {
            out.push('\n');
            out.push_str(&indent.repeat(depth));
        }
        out.push(close);
    }

    fn text(&self, raw: &str, out: &mut String) {
        out.push('"');
        match self.escapes.and_then(|escapes| json::letters(raw).map(|letters| (escapes, letters))) {
            Some((escapes, letters)) => escapes.write(&letters, out),
            None => out.push_str(raw),
        }
        out.push('"');
    }

    fn ordered<'n, 'b>(&self, members: &'n [(&'b str, Node<'b>)]) -> Vec<(&'b str, &'n Node<'b>)> {
        let mut ordered: Vec<(&'b str, &'n Node<'b>)> = members.iter().map(|(name, value)| (*name, value)).collect();
        match self.keys {
            Keys::Kept => {}
            Keys::Sorted => ordered.sort_by_cached_key(|(name, _)| json::letters(name)),
            Keys::Js => {
                let index = |name: &str| name.parse::<u32>().ok().filter(|index| index.to_string() == name);
                ordered.sort_by_key(|(name, _)| index(name).map_or(u64::MAX, u64::from));
            }
        }
        ordered
    }
}

impl Escapes {
    fn write(self, letters: &[Letter], out: &mut String) {
        for letter in letters {
            let letter = match letter {
                Letter::Char(letter) => *letter,
                Letter::Lone(unit) => {
                    self.unit(*unit, out);
                    continue;
                }
            };
            let short = match letter {
                '"' => Some('"'),
                '\\' => Some('\\'),
                '\u{8}' => Some('b'),
                '\u{c}' => Some('f'),
                '\n' => Some('n'),
                '\r' => Some('r'),
                '\t' => Some('t'),
                '/' if self.slash => Some('/'),
                _ => None,
            };
            let is_long = match self.non_ascii {
                Escape::Never => false,
                Escape::LineEnds => matches!(letter, '\u{2028}' | '\u{2029}'),
                Escape::Always => !letter.is_ascii(),
                Escape::AlwaysWithDel => !letter.is_ascii() || letter == '\u{7f}',
            };
            if self.html.contains(letter) || is_long || (letter < ' ' && short.is_none()) {
                letter.encode_utf16(&mut [0; 2]).iter().for_each(|unit| self.unit(*unit, out));
            } else if let Some(short) = short {
                out.push('\\');
                out.push(short);
            } else {
                out.push(letter);
            }
        }
    }

    fn unit(self, unit: u16, out: &mut String) {
        let digits = if self.upper { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") };
        out.push_str(&digits);
    }
}
