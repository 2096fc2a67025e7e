//! What a canonical path may be read as: with prefixes that apps strip from the front, and tails that they ignore.
//!
//! A superset on purpose. It only ever refuses, so a reading that no app has costs little, and one that is missing costs
//! everything. Must never allocate: ordinary traffic passes through here. Sources: NEXTJS.md ("Reaches the handler"),
//! Next.js `normalize-next-data`, `rsc` and `segment-prefix-rsc` path normalisers, `denormalizePagePath`, and `resolve-routes`
//! (asset prefix); Rails' `(.:format)`; CGI's `PATH_INFO` (RFC 3875 §4.1.5); ASP.NET's `cookieless` sessions.

use memchr::{memchr, memchr2, memmem, memrchr};

use super::route_path::RoutePath;
use super::spec::TargetSpec;
use super::{Framework, TargetFault};

/// Where `WordPress` serves what `rest_route` names: `?rest_route=/x/v1/hook` is `/wp-json/x/v1/hook`.
const WORDPRESS: &[u8] = b"/wp-json/";

/// Prefixes that may stand one inside the other; an app strips three at most.
const MAX_DEPTH: usize = 8;

/// Every path whose readings are refused, and every prefix that apps strip.
#[derive(Debug)]
pub(super) struct Readings {
    framework: Framework,
    /// The base path, the asset prefix and the locales, each as `/x`, lower case.
    pub(super) wrappers: Vec<Box<[u8]>>,
    pub(super) protected: Vec<Protected>,
    /// Where a route is below `WordPress`' `/wp-json`: that path, with what stands before it.
    pub(super) wordpress: Vec<Box<[u8]>>,
}

/// A route or alias among the readings.
#[derive(Debug)]
pub(super) struct Protected {
    /// Lower case, without base path; `""` is the root.
    pub(super) path: Box<[u8]>,
    prefix: bool,
    pub(super) owner: Owner,
}

/// Whom a protected path belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// The route of this index.
    Route(usize),
    /// The app's own rewrite to some route.
    Alias,
}

/// How Next's image optimizer is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Image {
    /// Not at all.
    #[default]
    No,
    /// In the one form that its client has.
    Usual,
    /// In another one.
    Odd,
}

/// What was found in all readings of one request so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Whose path one of the readings is.
    pub(super) shadow: Option<Owner>,
    /// Whether one of them is Next's image optimizer.
    pub(super) image: Image,
    /// One of them is Next's data namespace.
    pub(super) data: bool,
    /// There were more of them than anybody looks at.
    pub(super) too_deep: bool,
    /// Bytes that were read, each as often as it was.
    pub(super) bytes: usize,
    /// Readings that were compared with the routes.
    pub(super) comparisons: usize,
}

impl Seen {
    /// # Errors
    /// [`TargetFault::ShadowOfRoute`] or [`TargetFault::TooManyReadings`].
    pub(super) const fn refuse(&self) -> Result<(), TargetFault> {
        if self.shadow.is_some() {
            Err(TargetFault::ShadowOfRoute)
        } else if self.too_deep {
            Err(TargetFault::TooManyReadings)
        } else {
            Ok(())
        }
    }
}

impl Readings {
    pub(super) fn new(spec: &TargetSpec<'_>, base: &str) -> Self {
        let locales = spec.locales.iter().map(|locale| format!("/{locale}"));
        let mut wrappers: Vec<Box<[u8]>> = locales
            .chain([base.to_owned(), spec.asset_prefix.to_owned()])
            .filter(|wrapper| !wrapper.is_empty())
            .map(|wrapper| wrapper.to_ascii_lowercase().into_bytes().into())
            .collect();
        // Equal ones would be followed twice at every depth.
        wrappers.sort();
        wrappers.dedup();
        let routes = (0..).zip(spec.routes).map(|(index, path)| Protected::route(path, index));
        let mut protected: Vec<Protected> = routes.chain(spec.aliases.iter().map(Protected::alias)).collect();
        if spec.framework == Framework::None {
            let shorter: Vec<Protected> = protected.iter().filter_map(Protected::without_script).collect();
            protected.extend(shorter);
        }
        let mut wordpress: Vec<Box<[u8]>> = protected.iter().filter_map(Protected::wordpress).collect();
        wordpress.sort();
        wordpress.dedup();
        Self { framework: spec.framework, wrappers, protected, wordpress }
    }

    /// Adds to `seen` what `path` may be read as: a path in canonical form, though its case may be as received.
    ///
    /// Routes that contain `owner` are not reported, since the plain path of `owner` is theirs too.
    pub(super) fn read(&self, path: &[u8], owner: Option<&Protected>, seen: &mut Seen) {
        seen.bytes = seen.bytes.saturating_add(path.len());
        self.read_inside(path, MAX_DEPTH, owner, seen);
        if self.framework == Framework::NextJs {
            self.read_internal(path, owner, seen);
        }
    }

    fn read_inside(&self, path: &[u8], depth: usize, owner: Option<&Protected>, seen: &mut Seen) {
        self.compare(path, owner, seen);
        let Some(depth) = depth.checked_sub(1) else {
            seen.too_deep = true;
            return;
        };
        for wrapper in &self.wrappers {
            // What follows need not be a new segment: `/en.json` is the root's, in a locale and with a suffix.
            if let Some(rest) = strip_prefix(path, wrapper) {
                self.read_inside(rest, depth, owner, seen);
            }
        }
        match self.framework {
            Framework::NextJs => {
                // As the build's file names have it, `/index/hook` is the page `/hook`.
                if let Some(page) = strip_prefix(path, b"/index").filter(|page| page.starts_with(b"/")) {
                    self.read_inside(page, depth, owner, seen);
                }
            }
            Framework::None => {
                // The first of them, wherever it stands (`/public/index.php/hook`): what is behind it is read for further ones. The
                // route may have been written with the directory, and without the script.
                if let Some((directory, rest)) = around_script(path) {
                    self.read_inside(rest, depth, owner, seen);
                    let mut behind = (!directory.is_empty()).then_some(rest);
                    for _ in 0..depth {
                        let Some(rest) = behind else { break };
                        self.compare(&[directory, rest].concat(), owner, seen);
                        behind = around_script(rest).filter(|(before, _)| before.is_empty()).map(|(_, rest)| rest);
                    }
                }
            }
        }
    }

    /// Next's own paths, wherever in `path` they begin: rewrites lead to them from behind an asset prefix, and from anywhere else.
    fn read_internal(&self, path: &[u8], owner: Option<&Protected>, seen: &mut Seen) {
        let (mut rest, mut is_inside, mut page) = (path, false, None);
        while let Some(internal) = after_next(rest) {
            if let Some(tail) = strip_prefix(internal, b"/image") {
                // Some versions look at the beginning of the name alone, and where data is asked for a `.json` goes first.
                let form = if tail.is_empty() && !is_inside { Image::Usual } else { Image::Odd };
                seen.image = seen.image.max(form);
            }
            let data = strip_prefix(internal, b"/data").filter(|rest| ends_segment(rest));
            seen.data |= data.is_some();
            let resumed = strip_prefix(internal, b"/postponed/resume").filter(|rest| ends_segment(rest));
            page = page.or(data.and_then(without_first_segment).or(resumed).filter(|page| !page.is_empty()));
            (rest, is_inside) = (internal, true);
        }
        if let Some(page) = page {
            self.read_inside(page, MAX_DEPTH, owner, seen);
        }
        // The build id is not known here, and may have a slash itself (a branch's name); what is stripped behind it has one too.
        while let Some(behind) = page.filter(|page| !page.is_empty()) {
            self.compare(behind, owner, seen);
            // A root's page has no other name than what is stripped from it.
            for rest in self.wrappers.iter().filter_map(|wrapper| strip_prefix(behind, wrapper)) {
                self.compare(rest, owner, seen);
            }
            page = without_first_segment(behind);
        }
    }

    /// Adds to `seen` whose path this is.
    fn compare(&self, path: &[u8], owner: Option<&Protected>, seen: &mut Seen) {
        seen.comparisons = seen.comparisons.saturating_add(1);
        let is_foreign = |entry: &Protected| !owner.is_some_and(|owner| entry.contains(owner) || entry.is_kin(owner));
        let hit = self.protected.iter().find(|entry| self.is_reading_of(path, entry) && is_foreign(entry));
        seen.shadow = seen.shadow.or(hit.map(|hit| hit.owner));
    }

    /// Whether `path` is `entry`, lies below it if that is a prefix, or has nothing behind it but an ignored tail.
    fn is_reading_of(&self, path: &[u8], entry: &Protected) -> bool {
        let tail = match self.framework {
            Framework::NextJs => strip_prefix(path, &entry.path),
            Framework::None => strip_loosely(path, &entry.path),
        };
        match tail {
            None => false,
            Some([]) => true,
            Some([b'/', ..]) if entry.prefix => true,
            Some(tail) => match self.framework {
                Framework::NextJs => is_next_tail(tail),
                Framework::None => {
                    // Who takes `/hook-php` for `/hook.php` looks for a handler of that name, not for a script.
                    let is_script = is_script(&entry.path) && path.get(..entry.path.len()).is_some_and(is_script);
                    is_plain_tail(tail) || (is_script && tail.starts_with(b"/"))
                }
            },
        }
    }
}

impl Protected {
    pub(super) fn route(path: &RoutePath, route: usize) -> Self {
        Self::new(path, Owner::Route(route))
    }

    pub(super) fn alias(path: &RoutePath) -> Self {
        Self::new(path, Owner::Alias)
    }

    fn new(path: &RoutePath, owner: Owner) -> Self {
        Self { path: path.stem().to_ascii_lowercase().into_bytes().into(), prefix: path.is_prefix(), owner }
    }

    pub(super) const fn is_prefix(&self) -> bool {
        self.prefix
    }

    /// The same without what an app may add itself: `/hook.php` and `/hook/index.php` are served at `/hook`, `/index.php/hook` is.
    fn without_script(&self) -> Option<Self> {
        let behind = around_script(&self.path).filter(|(directory, _)| directory.is_empty()).map(|(_, rest)| rest);
        let before = || {
            let stem = SCRIPTS.iter().find_map(|extension| self.path.strip_suffix(*extension))?;
            Some(stem.strip_suffix(b"/index").unwrap_or(stem)).filter(|stem| !stem.is_empty() && !stem.ends_with(b"/"))
        };
        let path = behind.or_else(before)?;
        Some(Self { path: path.into(), prefix: self.prefix, owner: self.owner })
    }

    /// `/wp-json` with what stands before it, where that is above this path.
    fn wordpress(&self) -> Option<Box<[u8]>> {
        let end = memmem::find(&self.path, WORDPRESS)?.checked_add(WORDPRESS.len().checked_sub(1)?)?;
        self.path.get(..end).map(Into::into)
    }

    /// Whether both are spellings of one route.
    fn is_kin(&self, other: &Self) -> bool {
        matches!((self.owner, other.owner), (Owner::Route(mine), Owner::Route(theirs)) if mine == theirs)
    }

    /// Whether every plain path of `other` is a plain path of this one.
    pub(super) fn contains(&self, other: &Self) -> bool {
        match other.path.strip_prefix(self.path.as_ref()) {
            Some([]) => self.prefix || !other.prefix,
            Some([b'/', ..]) => self.prefix,
            Some(_) | None => false,
        }
    }
}

/// What follows the first segment, or `None` at the end of the path.
pub(super) fn without_first_segment(path: &[u8]) -> Option<&[u8]> {
    split_first_segment(path).map(|(_, rest)| rest)
}

/// `/a` and `/b/c` of `/a/b/c`.
fn split_first_segment(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let inside = path.strip_prefix(b"/")?;
    let end = memchr(b'/', inside).unwrap_or(inside.len());
    path.split_at_checked(end.checked_add(1)?)
}

/// What follows the first segment `_next`.
fn after_next(mut path: &[u8]) -> Option<&[u8]> {
    while let Some((segment, rest)) = split_first_segment(path) {
        if segment.eq_ignore_ascii_case(b"/_next") {
            return Some(rest);
        }
        path = rest;
    }
    None
}

/// What stands before the first script or session in a path, and what follows it, if anything does.
fn around_script(path: &[u8]) -> Option<(&[u8], &[u8])> {
    // Quicker than by segment, and there is none in most paths.
    memchr2(b'.', b'(', path)?;
    let mut from_here = path;
    while let Some((segment, rest)) = split_first_segment(from_here) {
        if !rest.is_empty() && (is_script(segment) || is_session(segment)) {
            let before = path.len().checked_sub(from_here.len())?;
            return Some((path.get(..before)?, rest));
        }
        from_here = rest;
    }
    None
}

/// Suffixes that Next strips from a path somewhere; `.prefetch.rsc` and `.segment.rsc` count as one.
const NEXT_SUFFIXES: [&[u8]; 9] =
    [b".json", b".rsc", b".prefetch.rsc", b".segment.rsc", b".action", b".html", b".txt", b".body", b".meta"];

/// File names that stand for the directory they are in.
const NEXT_FILES: [&[u8]; 3] = [b"/index", b"/route", b"/page"];

/// Whether Next may ignore all of `tail`, the rest of a path behind a route's own.
fn is_next_tail(mut tail: &[u8]) -> bool {
    loop {
        if is_cut(tail) {
            return true;
        }
        // A slash at the end goes as well, once the suffix behind it has gone: `/hook/.json`.
        let name = tail.strip_prefix(b"/").unwrap_or(tail);
        let suffix = NEXT_SUFFIXES.iter().find_map(|suffix| strip_prefix(name, suffix));
        match suffix.or_else(|| NEXT_FILES.iter().find_map(|file| strip_prefix(tail, file))) {
            Some(rest) => tail = rest,
            None => return strip_prefix(name, b".segments").is_some_and(ends_segment),
        }
    }
}

/// Whether some framework may ignore all of `tail`: an extension (Rails' `(.:format)`), or the name of an index file.
fn is_plain_tail(tail: &[u8]) -> bool {
    let is_extension = |tail: &[u8]| {
        // `/hook.php/x` is the script behind `/hook`, with an argument.
        let name = memchr(b'/', tail).map_or(Some(tail), |end| tail.get(..end).filter(|name| is_script(name)));
        name.is_some_and(|name| name.starts_with(b"."))
    };
    // Behind the usual action stand its arguments (`/hook/index/5`), `&` begins a query that a rewrite rule made of the path, and an
    // escape that is cut off is dropped (uWSGI).
    let index = strip_prefix(tail, b"/index").or_else(|| strip_prefix(tail, b"/default"));
    is_cut(tail)
        || matches!(tail, [b'&', ..] | [b'/', b'&', ..] | [b'%'] | [b'%', _] | [b'/', b'%'] | [b'/', b'%', _])
        || is_extension(tail)
        || index.is_some_and(|rest| is_cut(rest) || is_extension(rest) || rest.starts_with(b"/"))
}

/// Whether a path ends here for a reader that looks for a query, a fragment, a parameter or a C string's end.
const fn is_cut(tail: &[u8]) -> bool {
    matches!(tail, [] | [b'?' | b'#' | b';' | 0, ..] | [b'/', b'?' | b'#' | b';' | 0, ..])
}

const fn ends_segment(rest: &[u8]) -> bool {
    matches!(rest, [b'/', ..]) || is_cut(rest)
}

const SCRIPTS: [&[u8]; 22] = [
    b".php", b".php3", b".php4", b".php5", b".php7", b".php8", b".phtml", b".phar", b".cgi", b".fcgi", b".pl", b".py",
    b".rb", b".sh", b".lua", b".asp", b".aspx", b".ashx", b".asmx", b".svc", b".axd", b".cfm",
];

/// Whether the last segment names a script, which takes the rest of the path as its argument.
fn is_script(path: &[u8]) -> bool {
    let extension = memrchr(b'.', path).and_then(|dot| path.get(dot..));
    extension.is_some_and(|found| SCRIPTS.iter().any(|extension| found.eq_ignore_ascii_case(extension)))
}

/// Whether a segment is a session of ASP.NET without cookies, `/(S(lit3py55t21z5v55vlm25s55))`, which it takes off the path.
const fn is_session(segment: &[u8]) -> bool {
    matches!(segment, [b'/', b'(', .., b')'])
}

/// As [`strip_prefix`], for readers to whom all punctuation is one, too: `CherryPy` looks for `my-hook` as `my_hook`.
fn strip_loosely<'a>(path: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let is_mark = |byte: u8| byte.is_ascii_punctuation() && byte != b'/';
    let (start, rest) = path.split_at_checked(prefix.len())?;
    let mut pairs = start.iter().zip(prefix);
    pairs.all(|(one, other)| one.eq_ignore_ascii_case(other) || (is_mark(*one) && is_mark(*other))).then_some(rest)
}

/// As `strip_prefix` of slices, but case does not count in `path`; `prefix` is lower case.
fn strip_prefix<'a>(path: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = path.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}
