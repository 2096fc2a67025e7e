//! Which route a request target belongs to, and whether any app could read it as a route that it does not spell.
//!
//! A proxy that matches paths and an app that matches them again disagree in many ways: dot segments, percent-encoding,
//! fragments, framework-internal forms. So a protected route is taken in its plain spelling alone; every other spelling
//! that *some* reader could take for it is refused, and never verified and then forwarded. All else passes byte-exact.
//! Sources: NEXTJS.md ("The rule", measured against next 14.2 to 16.4), RFC 9112 §3.2 (request target), RFC 3986 §5.2.4
//! (dot segments). Must never rewrite a target: the caller forwards the bytes that were judged.

mod canonical;
mod lost;
mod query;
mod reading;
mod route_path;
mod spec;
#[cfg(test)]
mod tests;

use memchr::memchr;

use self::reading::{Image, Protected, Readings, Seen};
pub use self::route_path::{RoutePath, RoutePathError};
pub use self::spec::{SpecFault, TargetSpec};

/// How the app behind us reads paths: key `app.framework`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framework {
    /// Next.js: `_next/data`, the image optimizer, `.rsc` and kin, locales.
    NextJs,
    /// Any other app: extensions (`/hook.json`), front controllers (`/index.php/hook`), routing by query (`/?q=/hook`).
    None,
}

/// What a request target means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the route of this index, plainly spelled: verify, then forward the same bytes.
    Route(usize),
    /// It has nothing to do with any route.
    Unmatched,
    /// It must not reach the app: `bad_target`.
    Refused(TargetFault),
}

/// Why a target is refused; a field of the access line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TargetFault {
    /// Not one leading `/`: absolute, authority or asterisk form, `//`, or garbage.
    NotOriginForm,
    /// A byte outside 0x21–0x7E.
    ForbiddenByte,
    /// A `#`, which no client sends and every parser cuts elsewhere.
    Fragment,
    /// A `\` in the path, which some parsers take for `/`.
    Backslash,
    /// A `.` or `..` segment, plain or behind any encoding. Real clients resolve these themselves.
    DotSegment,
    /// Still changing after four rounds of percent-decoding.
    UnstableEncoding,
    /// More prefixes (locale, base path, data) one inside the other than any app understands, or a query of which more could be a
    /// path than anybody sends.
    TooManyReadings,
    /// Some reader would take it for a protected route, or for a declared alias of one.
    ShadowOfRoute,
    /// A value of the query is a protected route's path, which a front controller would run: `/?q=/hook`.
    RouteInQuery,
    /// `/_next/image` or `/_next/data` with a method other than GET and HEAD, or with a body.
    InternalMethod,
    /// `/_next/image` in a form that Next's own client never makes: not plainly spelled, nested, or with two sources.
    InternalForm,
}

/// The method of a request as [`Targets::classify`] wants it. What asks for an internal path of a framework sends no body, so one
/// that has a body counts as of another method: should such a path lead to a handler in a way that is not known here, what the
/// handler reads is not a stranger's.
pub(crate) const fn method_asked(method: &[u8], has_body: bool) -> &[u8] {
    if has_body { b"with a body" } else { method }
}

/// The compiled routing table. Immutable.
#[derive(Debug)]
pub struct Targets {
    framework: Framework,
    /// Sorted by path, for binary search.
    exact: Vec<Plain>,
    /// The longest first.
    prefixes: Vec<Plain>,
    /// With a single route no reading can lead to another one.
    several_routes: bool,
    readings: Readings,
}

/// The one spelling of a route that is taken: base path and all, case kept, no trailing slash (the root is `""`).
#[derive(Debug)]
struct Plain {
    path: Box<[u8]>,
    route: usize,
    /// The route's own entry among the readings.
    owner: Protected,
}

impl TargetFault {
    /// The stable name, for the access line.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotOriginForm => "not_origin_form",
            Self::ForbiddenByte => "forbidden_byte",
            Self::Fragment => "fragment",
            Self::Backslash => "backslash",
            Self::DotSegment => "dot_segment",
            Self::UnstableEncoding => "unstable_encoding",
            Self::TooManyReadings => "too_many_readings",
            Self::ShadowOfRoute => "shadow_of_route",
            Self::RouteInQuery => "route_in_query",
            Self::InternalMethod => "internal_method",
            Self::InternalForm => "internal_form",
        }
    }

    /// Each of them.
    pub const ALL: &'static [Self] = &[
        Self::NotOriginForm,
        Self::ForbiddenByte,
        Self::Fragment,
        Self::Backslash,
        Self::DotSegment,
        Self::UnstableEncoding,
        Self::TooManyReadings,
        Self::ShadowOfRoute,
        Self::RouteInQuery,
        Self::InternalMethod,
        Self::InternalForm,
    ];

    /// What is wrong with the target, for people.
    pub const fn why(self) -> &'static str {
        match self {
            Self::NotOriginForm => "it does not begin with one slash",
            Self::ForbiddenByte => "it has a byte that no target may have",
            Self::Fragment => "it has a `#`",
            Self::Backslash => "it has a backslash",
            Self::DotSegment => "it has a `.` or `..` segment",
            Self::UnstableEncoding => "it is percent-encoded again and again",
            Self::TooManyReadings => "more could be read as a path, in it or in its query, than any app would",
            Self::ShadowOfRoute => "it is another spelling of a protected path, or an alias of one",
            Self::RouteInQuery => "its query names a protected path, and some apps run what their query names",
            Self::InternalMethod => "this is an internal path of the framework, for GET and HEAD without a body alone",
            Self::InternalForm => "this is an internal path of the framework in a form that its client never makes",
        }
    }
}

impl Targets {
    /// Builds the table, or names everything that is wrong with the spec.
    ///
    /// # Errors
    /// Every [`SpecFault`] found.
    pub fn compile(spec: TargetSpec<'_>) -> Result<Self, Vec<SpecFault>> {
        let base = spec::base_path(spec.base_path);
        let mut faults: Vec<SpecFault> = base.err().map(SpecFault::BasePath).into_iter().collect();
        faults.extend(spec::base_path(spec.asset_prefix).err().map(SpecFault::AssetPrefix));
        faults.extend(spec::bad_locales(spec.locales));
        let base = base.unwrap_or_default();
        let readings = Readings::new(&spec, base);
        faults.extend(spec::conflicts(&spec, base, &readings));
        if !faults.is_empty() {
            return Err(faults);
        }
        let plain = |(route, path): (usize, &RoutePath)| Plain {
            path: [base, path.stem()].concat().into_bytes().into(),
            route,
            owner: Protected::route(path, route),
        };
        let (mut prefixes, mut exact): (Vec<_>, Vec<_>) =
            (0..).zip(spec.routes).map(plain).partition(|plain: &Plain| plain.owner.is_prefix());
        exact.sort_by(|a, b| a.path.cmp(&b.path));
        prefixes.sort_by_key(|plain| std::cmp::Reverse(plain.path.len()));
        let several_routes = spec.routes.len() > 1;
        Ok(Self { framework: spec.framework, exact, prefixes, several_routes, readings })
    }

    /// Decides what `target` (the request line's, as received) means for a request with this `method`.
    ///
    /// Of the methods only GET and HEAD are told from others. Total: every sequence of bytes has a verdict. The plain spelling of a route is found without allocating.
    pub fn classify(&self, method: &[u8], target: &[u8]) -> Verdict {
        // Admission comes first, because a fragment or a control byte in the query splits the path for other parsers.
        let (path, query) = match admit(target) {
            Ok(parts) => parts,
            Err(fault) => return Verdict::Refused(fault),
        };
        // The plain spelling comes before every other reading: a route is never a shadow of itself.
        if let Some(plain) = self.exact(path) {
            return match self.inspect_parameters(method, path, query, Some(&plain.owner)) {
                Err(fault) => Verdict::Refused(fault),
                Ok(()) => Verdict::Route(plain.route),
            };
        }
        let spelling = Spelling::of(path);
        let prefix = if spelling.has_plain_segments() { self.prefix(path) } else { None };
        if let Some(plain) = prefix
            && !self.several_routes
        {
            return Verdict::Route(plain.route);
        }
        // Under a prefix, a reading that is *another* route would run its handler with this route's secrets.
        match self.inspect(method, path, query, spelling, prefix.map(|plain| &plain.owner)) {
            Err(fault) => Verdict::Refused(fault),
            Ok(()) => prefix.map_or(Verdict::Unmatched, |plain| Verdict::Route(plain.route)),
        }
    }

    /// The configured path, or that plus one `/` (`trailingSlash` apps redirect to it, others accept both).
    fn exact(&self, path: &[u8]) -> Option<&Plain> {
        let path = path.strip_suffix(b"/").unwrap_or(path);
        let found = self.exact.binary_search_by(|plain| plain.path.as_ref().cmp(path)).ok()?;
        self.exact.get(found)
    }

    /// The longest prefix that `path` equals or lies under.
    fn prefix(&self, path: &[u8]) -> Option<&Plain> {
        self.prefixes
            .iter()
            .find(|plain| path.strip_prefix(plain.path.as_ref()).is_some_and(|rest| matches!(rest, [] | [b'/', ..])))
    }

    /// Refuses what could be read as a route, other than those that contain `owner`.
    fn inspect(
        &self,
        method: &[u8],
        path: &[u8],
        query: &[u8],
        spelling: Spelling,
        owner: Option<&Protected>,
    ) -> Result<(), TargetFault> {
        let mut seen = Seen::default();
        if spelling == Spelling::Plain {
            self.readings.read(path.strip_suffix(b"/").unwrap_or(path), owner, &mut seen);
        } else {
            // At every depth of decoding, not only the last: readers differ in how often they decode.
            canonical::each_round(path, |text| {
                if canonical::has_dot_segment(text) {
                    return Err(TargetFault::DotSegment);
                }
                canonical::each_form(text, |form| self.readings.read(form, owner, &mut seen));
                Ok(())
            })?;
        }
        seen.refuse()?;
        if (seen.image != Image::No || seen.data) && !matches!(method, b"GET" | b"HEAD") {
            return Err(TargetFault::InternalMethod);
        }
        match (seen.image, spelling) {
            (Image::No, _) => {
                self.inspect_parameters(method, path, query, owner)?;
                self.inspect_parameters_in_path(path, owner)
            }
            (Image::Usual, Spelling::Plain) => self.inspect_image_sources(query, owner),
            (Image::Usual | Image::Odd, _) => Err(TargetFault::InternalForm),
        }
    }

    /// How the app reads paths.
    pub const fn framework(&self) -> Framework {
        self.framework
    }
}

/// What it takes to read a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// Nothing encoded, no empty segment, no parameters: its bytes are its only text.
    Plain,
    /// As plain, but with a `;`, which some readers cut at.
    PathParameters,
    /// With `%`, `//` or `@@`.
    Other,
}

impl Spelling {
    fn of(path: &[u8]) -> Self {
        if memchr(b'%', path).is_some() || has_pair(path, b'/', b'/') || has_pair(path, b'@', b'@') {
            Self::Other
        } else if memchr(b';', path).is_some() {
            Self::PathParameters
        } else {
            Self::Plain
        }
    }

    /// Whether a prefix may be matched byte by byte.
    const fn has_plain_segments(self) -> bool {
        match self {
            Self::Plain | Self::PathParameters => true,
            Self::Other => false,
        }
    }
}

/// Splits a target into path and query, or says why no traffic at all may look like this.
fn admit(target: &[u8]) -> Result<(&[u8], &[u8]), TargetFault> {
    match target {
        [b'/', b'/', ..] => return Err(TargetFault::NotOriginForm),
        [b'/', ..] => (),
        _ => return Err(TargetFault::NotOriginForm),
    }
    if has(target.iter(), |byte| !byte.is_ascii_graphic() || *byte == b'#') {
        let forbidden = !target.iter().all(u8::is_ascii_graphic);
        return Err(if forbidden { TargetFault::ForbiddenByte } else { TargetFault::Fragment });
    }
    let (path, query) = memchr(b'?', target).and_then(|at| target.split_at_checked(at)).unwrap_or((target, b""));
    if memchr(b'\\', path).is_some() {
        return Err(TargetFault::Backslash);
    }
    if has_pair(path, b'/', b'.') && canonical::has_dot_segment(path) {
        return Err(TargetFault::DotSegment);
    }
    Ok((path, query.strip_prefix(b"?").unwrap_or(query)))
}

fn has_pair(path: &[u8], first: u8, second: u8) -> bool {
    has(path.iter().zip(path.get(1..).unwrap_or_default()), |(a, b)| *a == first && *b == second)
}

/// As `Iterator::any`, but without an early exit, so that the compiler can compare many bytes at once.
fn has<T>(items: impl Iterator<Item = T>, is_wanted: impl Fn(T) -> bool) -> bool {
    items.fold(0_u8, |found, item| found | u8::from(is_wanted(item))) != 0
}
