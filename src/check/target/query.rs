//! What a query may name: a path that the app asks itself for, or runs instead of the one that stands before the `?`.
//!
//! Sources: Next.js `image-optimizer` (`url`); `WordPress`' `rest_route`, Drupal's `q`, Yii's `r`, `OpenCart`'s `route`,
//! `ThinkPHP`'s `s`, Phalcon's `_url`, `CodeIgniter`'s and Slim's bare `/index.php?/hook`. Must never refuse a query of everyday
//! traffic: what a parameter means is the app's affair, unless its value is the path of a route.

use std::borrow::Cow;
use std::collections::BTreeSet;

use memchr::{memchr, memchr2, memrchr};

use super::reading::{self, Image, Protected, Seen};
use super::{Framework, TargetFault, Targets, canonical};

/// Parameters that front controllers take their path from, and for which `hook` is `/hook`.
const ROUTERS: [&[u8]; 22] = [
    b"q",
    b"r",
    b"s",
    b"p",
    b"c",
    b"m",
    b"rt",
    b"do",
    b"uri",
    b"url",
    b"_url",
    b"path",
    b"_path",
    b"page",
    b"view",
    b"route",
    b"_route",
    b"_route_",
    b"action",
    b"request",
    b"rest_route",
    b"controller",
];

/// More parameters than any page has. What could be hidden among more is refused, or looking through them would cost more than
/// they did to send.
const MOST_PARAMETERS: usize = 256;
const MOST_PARAMETERS_IN_PATH: usize = 16;
/// What reading the parameters may cost, each once for every depth of decoding, directory and way to resolve dots: bytes, and
/// comparisons with the routes, of which a path with scripts in it takes dozens. The reading that goes past either is the last.
const MOST_BYTES: usize = 128 * 1024;
const MOST_COMPARISONS: usize = 8 * 1024;
/// No directory of a route is longer than its path by more than this.
const LONGEST_WRAPPER: usize = 128;

impl Targets {
    /// Refuses a query that makes some front controller run a route other than those that contain `owner`.
    ///
    /// A value with a slash is a path to everybody. A single word, such as the `stripe` of `?tab=stripe`, is one only to a router's
    /// parameter. Where a page is asked for, people search for words and name files, so there it takes a slash in front.
    pub(super) fn inspect_parameters(
        &self,
        method: &[u8],
        path: &[u8],
        query: &[u8],
        owner: Option<&Protected>,
    ) -> Result<(), TargetFault> {
        let can_differ = owner.is_none() || self.several_routes;
        if self.framework != Framework::None || query.is_empty() || !can_differ {
            return Ok(());
        }
        if query.split(is_between).count() > MOST_PARAMETERS {
            return Err(TargetFault::TooManyReadings);
        }
        let is_page = matches!(method, b"GET" | b"HEAD");
        let longest = self.readings.protected.iter().map(|entry| entry.path.len()).max().unwrap_or_default();
        // The root, and one for each depth of decoding: `/api/h%2fook` is in `/api`, or in `/api/h`.
        let mut directories = BTreeSet::from([Vec::new()]);
        // What is still not plain after the last round is refused as a path.
        let _ = canonical::each_round(path, |text| {
            let before = memrchr(b'/', text).and_then(|end| text.get(..end)).unwrap_or_default();
            if before.len() <= longest.saturating_add(LONGEST_WRAPPER) {
                directories.insert(before.to_vec());
            }
            Ok(())
        });
        let mut seen = Seen::default();
        for pair in query.split(is_between) {
            let (key, value) = key_and_value(pair);
            let is_router = is_router(key);
            // `?/hook`: without a value the key itself is the path. And what a rewrite rule made of `/wc-api/hook`: `?wc-api=hook`.
            let both = [b"/".as_slice(), key, b"/", value].concat();
            let both = if value.is_empty() { b"" } else { both.as_slice() };
            for (text, is_path) in [(key, value.is_empty()), (value, is_router), (both, false)] {
                // However often it is encoded: nobody routes by what is still not plain then.
                let _ = canonical::each_round(&spaced(text), |text| {
                    let has_slash = text.iter().any(|byte| matches!(byte, b'/' | b'\\'));
                    let is_wanted = match text.first() {
                        Some(b'/' | b'\\') => true,
                        _ if is_page => has_slash && is_path,
                        _ => has_slash || is_path,
                    };
                    if is_wanted {
                        self.read_parameter(text, &directories, owner, &mut seen);
                    }
                    // What is known ends this text here, and the whole below.
                    seen.refuse()
                });
                if seen.shadow.is_some() {
                    return Err(TargetFault::RouteInQuery);
                }
                seen.refuse()?;
            }
        }
        Ok(())
    }

    /// Where a rewrite rule makes a parameter of the path, what follows a `&` there is a further one: `/x&url=/hook`.
    pub(super) fn inspect_parameters_in_path(&self, path: &[u8], owner: Option<&Protected>) -> Result<(), TargetFault> {
        if self.framework != Framework::None || memchr2(b'&', b'%', path).is_none() {
            return Ok(());
        }
        canonical::each_round(path, |text| {
            let mut parts = text.splitn(2, |byte| matches!(byte, b'&' | b'?'));
            let (path, query) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            if query.split(is_between).count() > MOST_PARAMETERS_IN_PATH {
                return Err(TargetFault::TooManyReadings);
            }
            self.inspect_parameters(b"", path, query, owner)
        })
    }

    /// One text that may be a path, from each of these directories.
    fn read_parameter(&self, text: &[u8], directories: &BTreeSet<Vec<u8>>, owner: Option<&Protected>, seen: &mut Seen) {
        // What names nothing is no way from a directory to itself.
        let first = text.iter().find(|byte| !matches!(byte, b'/' | b'\\'));
        if matches!(first, None | Some(b'?' | b'#' | b';' | 0)) {
            return;
        }
        for directory in directories {
            let text = [directory, b"/".as_slice(), text].concat();
            canonical::each_form(&text, |form| each_without_dots(form, |path| self.read_path(path, owner, seen)));
            if seen.refuse().is_err() {
                return;
            }
        }
    }

    /// One reading of a parameter, unless those before said enough.
    fn read_path(&self, path: &[u8], owner: Option<&Protected>, seen: &mut Seen) {
        // `?next=/` is no way to a route at the root.
        if path.is_empty() || seen.refuse().is_err() {
            return;
        }
        self.readings.read(path, owner, seen);
        for before in &self.readings.wordpress {
            self.readings.read(&[before, path].concat(), owner, seen);
        }
        seen.too_deep |= seen.bytes > MOST_BYTES || seen.comparisons > MOST_COMPARISONS;
    }

    /// The image optimizer asks the app's own router for `url`, so its value is judged like a path.
    pub(super) fn inspect_image_sources(&self, query: &[u8], owner: Option<&Protected>) -> Result<(), TargetFault> {
        let mut found = false;
        for pair in query.split(|byte| *byte == b'&') {
            let (key, value) = key_and_value(pair);
            let mut names_source = false;
            canonical::each_round(key, |text| {
                names_source |= text.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(b"url"));
                Ok(())
            })?;
            if !names_source {
                continue;
            }
            // Next refuses a list of sources itself; a second one would only hide behind the first.
            if std::mem::replace(&mut found, true) {
                return Err(TargetFault::InternalForm);
            }
            canonical::each_round(&spaced(value), |text| self.inspect_image_source(text, owner))?;
        }
        Ok(())
    }

    /// One depth of decoding of an image's source: a path, or a URL whose host may be the app's own.
    fn inspect_image_source(&self, text: &[u8], owner: Option<&Protected>) -> Result<(), TargetFault> {
        let path = memchr2(b'?', b'#', text).and_then(|end| text.get(..end)).unwrap_or(text);
        if canonical::has_dot_segment(path) {
            return Err(TargetFault::DotSegment);
        }
        let mut seen = Seen::default();
        for url in [Some(path), after_scheme(path)].into_iter().flatten() {
            canonical::each_form(url, |form| {
                // With the scheme gone: the path itself, behind a host, behind `//user@host/` of a sloppy parser.
                let mut rest = Some(form);
                for _ in 0..3 {
                    let Some(reading) = rest else { break };
                    self.readings.read(reading, owner, &mut seen);
                    rest = reading::without_first_segment(reading);
                }
            });
        }
        seen.refuse()?;
        // An internal path inside an internal one.
        if seen.image != Image::No || seen.data { Err(TargetFault::InternalForm) } else { Ok(()) }
    }
}

/// What stands between two parameters.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "as `split` calls it")]
const fn is_between(byte: &u8) -> bool {
    matches!(byte, b'&' | b';')
}

/// `key=value`; without `=` the value is empty.
fn key_and_value(pair: &[u8]) -> (&[u8], &[u8]) {
    let (key, value) = memchr(b'=', pair).and_then(|at| pair.split_at_checked(at)).unwrap_or((pair, b""));
    (key, value.strip_prefix(b"=").unwrap_or(value))
}

/// Whether some front controller takes its path from this parameter, as PHP names it: decoded, without spaces in front and what
/// follows a NUL, with `_` for what no variable's name may have.
fn is_router(key: &[u8]) -> bool {
    let mut found = false;
    let _ = canonical::each_round(&spaced(key), |text| {
        let name = text.split(|byte| *byte == 0).next().unwrap_or_default();
        let name = name.trim_ascii_start().iter().map(|byte| match byte {
            b'.' | b' ' | b'[' => b'_',
            byte => byte.to_ascii_lowercase(),
        });
        found |= ROUTERS.iter().any(|router| name.clone().eq(router.iter().copied()));
        Ok(())
    });
    found
}

/// Calls `read` with a form, and, if it has dot segments, with it as readers see it who leave them out, and who resolve them
/// (RFC 3986 §5.2.4). Such a reader may have cut off a query or parameters before, after which `/hook/.?x` ends in a dot segment.
fn each_without_dots(form: &[u8], mut read: impl FnMut(&[u8])) {
    read(form);
    if !canonical::has_dot_segment(form) {
        return;
    }
    let before = |is_end: fn(&u8) -> bool| form.split(is_end).next().unwrap_or_default();
    let without_query = before(|byte| matches!(byte, b'?' | b'#' | 0));
    let without_parameters = before(|byte| matches!(byte, b'?' | b'#' | b';' | 0));
    for path in [form, without_query, without_parameters] {
        read(&without_dots(path, false));
        read(&without_dots(path, true));
    }
}

/// A form without its dot segments: left out, or resolved.
fn without_dots(form: &[u8], is_resolved: bool) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    for segment in form.split(|byte| *byte == b'/') {
        match canonical::name(segment) {
            b".." if is_resolved => drop(kept.pop()),
            b"." | b".." => {}
            _ if segment.is_empty() => {}
            _ => kept.push(segment),
        }
    }
    kept.iter().flat_map(|segment| [b"/".as_slice(), segment]).collect::<Vec<_>>().concat()
}

/// As a form has it, where `+` is a space.
fn spaced(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'+', text).is_none() {
        return Cow::Borrowed(text);
    }
    text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect()
}

/// What follows `https:` and the like (RFC 3986 §3.1).
fn after_scheme(url: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = url.split_at_checked(memchr(b':', url)?)?;
    let in_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    if scheme.iter().all(in_scheme) { rest.strip_prefix(b":") } else { None }
}
