//! An independent reading of the rule about request targets: which of them may reach the app, as what.
//!
//! Written from its description (admission, plain form, shadow form, internal paths), as the Python reference beside
//! hookward's tests is. It is laxer than hookward, which refuses more where readers differ, but must never be stricter.

use std::collections::BTreeSet;

/// What a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The route of this index, plainly spelled.
    Route(usize),
    /// Nothing that the app may see.
    Refused,
    /// No route's.
    Pass,
}

/// What is protected.
#[derive(Debug)]
pub struct Rule {
    pub nextjs: bool,
    pub base: &'static str,
    /// What is stripped as a locale is.
    pub assets: &'static str,
    pub locales: &'static [&'static str],
    pub aliases: &'static [&'static str],
    pub routes: &'static [&'static str],
}

type Segments = Vec<Vec<u8>>;

const SUFFIXES: [&str; 9] =
    [".json", ".rsc", ".prefetch.rsc", ".segment.rsc", ".action", ".html", ".txt", ".body", ".meta"];
/// More readings than these are not looked for.
const MOST: usize = 64;
/// Nor more parameters: each takes long, and is like the others.
pub const MOST_PARAMETERS: usize = 32;

impl Rule {
    pub fn classify(&self, method: &[u8], target: &[u8]) -> Verdict {
        // Admission: origin form, printable ASCII, no fragment, no backslash, no dot segment.
        if !target.starts_with(b"/") || target.iter().any(|byte| !(0x21..=0x7e).contains(byte) || *byte == b'#') {
            return Verdict::Refused;
        }
        let (path, query) = match target.iter().position(|byte| *byte == b'?') {
            Some(at) => (&target[..at], &target[at + 1..]),
            None => (target, &b""[..]),
        };
        if path.contains(&b'\\') || path.starts_with(b"//") || path.split(|byte| *byte == b'/').any(is_dots) {
            return Verdict::Refused;
        }
        let plain = self.plain(path);
        if !self.nextjs && self.is_routed_by_query(method, path, query, plain) {
            return Verdict::Refused;
        }
        if let Some(route) = plain {
            return Verdict::Route(route);
        }
        // What somebody could read as a route, though it is not spelled so.
        let (decoded, settled) = decoded(path);
        let parts = [b'?', b'#', 0, b';'].map(|cut| decoded.split(|byte| *byte == cut).next().unwrap_or(&[]));
        if !settled || std::iter::once(&decoded[..]).chain(parts).any(|part| self.hits(segments(part))) {
            return Verdict::Refused;
        }
        if self.nextjs && self.internal(method, &decoded, query) { Verdict::Refused } else { Verdict::Pass }
    }

    /// The most specific route whose own spelling this is.
    fn plain(&self, path: &[u8]) -> Option<usize> {
        let without_slash = path.strip_suffix(b"/").unwrap_or(path);
        let plain = !path.contains(&b'%') && !path.windows(2).any(|pair| pair == b"//");
        let mut found: Vec<(usize, bool, usize)> = Vec::new();
        for (index, route) in self.routes.iter().enumerate() {
            match route.strip_suffix("/*") {
                Some(prefix) => {
                    let prefix = [self.base, prefix].concat().into_bytes();
                    let below = path.strip_prefix(&prefix[..]).is_some_and(|rest| matches!(rest, [] | [b'/', ..]));
                    found.extend((plain && below).then_some((prefix.len(), false, index)));
                }
                None => {
                    let whole = [self.base, route.trim_end_matches('/')].concat().into_bytes();
                    found.extend((without_slash == whole).then_some((whole.len(), true, index)));
                }
            }
        }
        found.into_iter().max().map(|(_, _, index)| index)
    }

    /// Whether some reading of these segments is protected.
    fn hits(&self, first: Segments) -> bool {
        let (base, assets) = (segments(self.base.as_bytes()), segments(self.assets.as_bytes()));
        let locales: Vec<Vec<u8>> = self.locales.iter().map(|locale| locale.to_lowercase().into_bytes()).collect();
        let (mut readings, mut seen) = (vec![first], BTreeSet::new());
        while let Some(reading) = readings.pop() {
            if seen.len() > MOST || !seen.insert(reading.clone()) {
                continue;
            }
            if self.is_protected(&reading) {
                return true;
            }
            if !base.is_empty() && reading.starts_with(&base) {
                readings.push(reading[base.len()..].to_vec());
            }
            if reading.first().is_some_and(|segment| locales.contains(segment)) {
                readings.push(reading[1..].to_vec());
            }
            if !assets.is_empty() && reading.starts_with(&assets) {
                readings.push(reading[assets.len()..].to_vec());
            }
            if self.nextjs {
                readings.extend(nextjs(&reading));
            } else {
                readings.extend(behind_script(&reading));
            }
        }
        false
    }

    /// Whether a front controller that takes its path from a parameter would run a route, and another one than `plain`.
    fn is_routed_by_query(&self, method: &[u8], path: &[u8], query: &[u8], plain: Option<usize>) -> bool {
        const ROUTERS: [&str; 22] = [
            "q",
            "r",
            "s",
            "p",
            "c",
            "m",
            "rt",
            "do",
            "uri",
            "url",
            "_url",
            "path",
            "_path",
            "page",
            "view",
            "route",
            "_route",
            "_route_",
            "action",
            "request",
            "rest_route",
            "controller",
        ];
        let is_page = matches!(method, b"GET" | b"HEAD");
        let mut directory = segments(path);
        if !path.ends_with(b"/") {
            directory.pop();
        }
        let others = Rule { routes: &[], aliases: self.aliases, ..*self };
        // A plain route's own path in its query leads nowhere else.
        let is_hit = |path: Segments| match plain {
            None => self.hits(path),
            Some(_) if self.routes.len() == 1 => false,
            Some(own) => {
                others.hits(path.clone())
                    || self.routes.iter().enumerate().any(|(index, route)| match route.strip_suffix("/*") {
                        None => index != own && path == segments(route.as_bytes()),
                        // What lies below a prefix is no other route than a longer one below it.
                        Some(prefix) => {
                            let prefix = segments(prefix.as_bytes());
                            path.starts_with(&prefix) && !segments(self.routes[own].as_bytes()).starts_with(&prefix)
                        }
                    })
            }
        };
        // A path to everybody, or a word to a router; to a page only what begins with a slash, or has one for a router.
        let named = |text: &[u8], is_path: bool| {
            let (text, settled) = decoded(&spaced(text));
            let path = segments(text.split(|byte| matches!(byte, b'?' | b'#' | 0)).next().unwrap_or(&[]));
            let has_slash = text.contains(&b'/');
            let is_wanted = text.starts_with(b"/") || if is_page { has_slash && is_path } else { has_slash || is_path };
            settled
                && is_wanted
                && !path.is_empty()
                && (is_hit(path.clone()) || is_hit([directory.clone(), path].concat()))
        };
        query.split(|byte| *byte == b'&' || *byte == b';').take(MOST_PARAMETERS).any(|pair| {
            let (key, value) = match pair.iter().position(|byte| *byte == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &b""[..]),
            };
            let is_router = ROUTERS.iter().any(|router| key.eq_ignore_ascii_case(router.as_bytes()));
            named(key, value.is_empty())
                || named(value, is_router)
                || (!value.is_empty() && named(&[b"/", key, b"/", value].concat(), false))
        })
    }

    fn is_protected(&self, reading: &[Vec<u8>]) -> bool {
        // To some, all punctuation is one.
        let folded = |path: &[Vec<u8>]| -> Segments {
            let fold = |byte: &u8| if !self.nextjs && byte.is_ascii_punctuation() { b'_' } else { *byte };
            path.iter().map(|segment| segment.iter().map(fold).collect()).collect()
        };
        let reading = folded(reading);
        self.routes.iter().chain(self.aliases).any(|path| match path.strip_suffix("/*") {
            Some(prefix) => reading.starts_with(&folded(&segments(prefix.as_bytes()))),
            // A script is served without its extension as well.
            None => [Some(*path), path.strip_suffix(".php").filter(|_| !self.nextjs)]
                .into_iter()
                .flatten()
                .any(|path| reading == folded(&segments(path.as_bytes()))),
        })
    }

    /// The image optimizer and the data namespace: for GET and HEAD, and with no protected source.
    fn internal(&self, method: &[u8], decoded: &[u8], query: &[u8]) -> bool {
        // Wherever they begin: an asset prefix may stand before them.
        let path = segments(decoded);
        let behind = |at: usize| path.get(at..).unwrap_or(&[]);
        let kinds: Vec<&[Vec<u8>]> =
            (1..path.len()).filter(|at| path[at - 1] == b"_next").map(behind).filter(|rest| !rest.is_empty()).collect();
        let data = kinds.iter().any(|rest| rest[0] == b"data");
        // 14.2 looks at the beginning of the name alone; only one form is the client's own.
        let images = kinds.iter().filter(|rest| rest[0].starts_with(b"image")).count();
        if images == 0 && !data {
            return false;
        }
        if !matches!(method, b"GET" | b"HEAD")
            || kinds.iter().any(|rest| rest[0].starts_with(b"image") && (rest.len() > 1 || rest[0] != b"image" || data))
        {
            return true;
        }
        let kind: &[u8] = if images > 0 { b"image" } else { b"data" };
        let pairs = query.split(|byte| *byte == b'&').map(|pair| {
            let at = pair.iter().position(|byte| *byte == b'=');
            (&pair[..at.unwrap_or(pair.len())], at.map_or(&b""[..], |at| &pair[at + 1..]))
        });
        let mut sources =
            pairs.filter(|(key, _)| self::decoded(&spaced(key)).0.to_ascii_lowercase().starts_with(b"url"));
        kind == b"image" && sources.any(|(_, value)| self.is_protected_source(&spaced(value)))
    }

    fn is_protected_source(&self, value: &[u8]) -> bool {
        let (value, settled) = decoded(value);
        let path = value.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or(&[]);
        let after_scheme = path.iter().position(|byte| *byte == b':').filter(|at| {
            path[0].is_ascii_alphabetic()
                && path[..*at].iter().all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(byte))
        });
        let readings = [Some(path), after_scheme.map(|at| &path[at + 1..])];
        !settled
            || readings.into_iter().flatten().any(|reading| {
                let found = segments(reading);
                (0..found.len().min(3)).any(|host| self.hits(found[host..].to_vec()))
            })
    }
}

/// What a script is told to run: `/index.php/hook` and `/public/index.php/hook`.
fn behind_script(path: &[Vec<u8>]) -> Vec<Segments> {
    let is_script = |segment: &Vec<u8>| [&b".php"[..], b".cgi", b".aspx"].iter().any(|end| segment.ends_with(end));
    (1..path.len()).filter(|at| is_script(&path[at - 1])).map(|at| path[at..].to_vec()).collect()
}

/// What Next.js takes off a path somewhere.
fn nextjs(path: &[Vec<u8>]) -> Vec<Segments> {
    let mut readings = Vec::new();
    // The build id may have slashes: a branch's name.
    if let [next, data, _id, page @ ..] = path
        && next == b"_next"
        && data == b"data"
    {
        readings.extend((0..page.len()).map(|at| page[at..].to_vec()));
    }
    if let [index, page @ ..] = path
        && index == b"index"
    {
        readings.push(page.to_vec());
    }
    let Some((last, before)) = path.split_last() else { return readings };
    for suffix in SUFFIXES {
        if let Some(stem) = last.strip_suffix(suffix.as_bytes()) {
            let stem = (!stem.is_empty()).then(|| stem.to_vec());
            readings.push(before.iter().cloned().chain(stem).collect());
        }
    }
    if let Some((directory, before)) = before.split_last()
        && let Some(stem) = directory.strip_suffix(b".segments")
    {
        readings.push([before, &[stem.to_vec()]].concat());
    }
    if [&b"index"[..], b"route", b"page"].contains(&&last[..]) {
        readings.push(before.to_vec());
    }
    readings
}

/// `.` and `..`, also with `%2e`.
fn is_dots(segment: &[u8]) -> bool {
    let text = String::from_utf8_lossy(segment).to_lowercase().replace("%2e", ".");
    matches!(&*text, "." | "..")
}

fn spaced(text: &[u8]) -> Vec<u8> {
    text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect()
}

/// Four rounds of percent-decoding, and whether a fifth would change nothing.
pub fn decoded(text: &[u8]) -> (Vec<u8>, bool) {
    let mut text = text.to_vec();
    for _ in 0..4 {
        let next = decode(&text);
        if next == text {
            break;
        }
        text = next;
    }
    let settled = decode(&text) == text;
    (text, settled)
}

fn decode(text: &[u8]) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (mut out, mut at) = (Vec::new(), 0);
    while let Some(byte) = text.get(at) {
        let escaped = match text.get(at..at + 3) {
            Some([b'%', high, low]) => digit(high).zip(digit(low)).map(|(high, low)| high * 16 + low),
            _ => None,
        };
        out.push(escaped.unwrap_or(*byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    out
}

/// Split at `/` and `\`, without empty and `.` segments, `..` resolved, in lower case.
pub fn segments(path: &[u8]) -> Segments {
    let mut found: Segments = Vec::new();
    for segment in path.split(|byte| matches!(byte, b'/' | b'\\')) {
        match segment {
            b"" | b"." => {}
            b".." => {
                found.pop();
            }
            _ => found.push(segment.to_ascii_lowercase()),
        }
    }
    found
}
