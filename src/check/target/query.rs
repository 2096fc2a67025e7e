//! What a query may name: a path that the app asks itself for, or runs instead of the one that stands before the `?`.
//!
//! Sources: Next.js `image-optimizer` (`url`); WordPress' `rest_route`, Drupal's `q`, Yii's `r`, OpenCart's `route`,
//! ThinkPHP's `s`, Phalcon's `_url`, CodeIgniter's and Slim's bare `/index.php?/hook`. Must never refuse a query of everyday
//! traffic: what a parameter means is the app's affair, unless its value is the path of a route.

use memchr::{memchr, memchr2, memmem};

use super::reading::{self, Protected, Seen};
use super::{Framework, TargetFault, Targets, canonical};

/// Parameters that front controllers take their path from, and for which `hook` is `/hook`.
const ROUTERS: [&[u8]; 9] = [b"q", b"r", b"s", b"route", b"rest_route", b"_url", b"url", b"path", b"_route_"];

/// Where WordPress serves what `rest_route` names: `?rest_route=/x/v1/hook` is `/wp-json/x/v1/hook`.
const WORDPRESS: &[u8] = b"/wp-json/";

impl Targets {
    /// Refuses a query that makes some front controller run a route other than those that contain `owner`.
    ///
    /// A value that begins with a slash, or has one inside, is a path to everybody. A single word, such as the `stripe` of
    /// `?tab=stripe`, is one only to a router's parameter, and not where a page is asked for, since people search for words.
    pub(super) fn inspect_parameters(
        &self,
        method: &[u8],
        query: &[u8],
        owner: Option<&Protected>,
    ) -> Result<(), TargetFault> {
        let can_differ = owner.is_none() || self.several_routes;
        if self.framework != Framework::None || query.is_empty() || !can_differ {
            return Ok(());
        }
        let is_page = matches!(method, b"GET" | b"HEAD");
        let mut seen = Seen::default();
        for pair in query.split(|byte| matches!(byte, b'&' | b';')) {
            let (key, value) = key_and_value(pair);
            let is_router = !is_page && ROUTERS.iter().any(|router| key.eq_ignore_ascii_case(router));
            // Without a value the key itself may be the path: `?/hook`.
            for (text, may_be_word) in [(key, false), (value, is_router)] {
                // However often it is encoded: nobody routes by what is still not plain then.
                let _ = canonical::each_round(&spaced(text), |text| {
                    if may_be_word || text.iter().any(|byte| matches!(byte, b'/' | b'\\')) {
                        canonical::each_form(text, |form| self.read_parameter(form, owner, &mut seen));
                    }
                    Ok(())
                });
            }
        }
        // As many prefixes as there may be are no reason here: a value is no path until it is a route's.
        if seen.shadow.is_some() { Err(TargetFault::RouteInQuery) } else { Ok(()) }
    }

    fn read_parameter(&self, form: &[u8], owner: Option<&Protected>, seen: &mut Seen) {
        // `?next=/` is no way to a route at the root.
        if form.is_empty() {
            return;
        }
        self.readings.read(form, owner, seen);
        for entry in &self.readings.protected {
            let end =
                memmem::find(&entry.path, WORDPRESS).and_then(|at| at.checked_add(WORDPRESS.len().saturating_sub(1)));
            if let Some(before) = end.and_then(|end| entry.path.get(..end)) {
                self.readings.read(&[before, form].concat(), owner, seen);
            }
        }
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
        if seen.image || seen.odd_image || seen.data { Err(TargetFault::InternalForm) } else { Ok(()) }
    }
}

/// `key=value`; without `=` the value is empty.
fn key_and_value(pair: &[u8]) -> (&[u8], &[u8]) {
    let (key, value) = memchr(b'=', pair).and_then(|at| pair.split_at_checked(at)).unwrap_or((pair, b""));
    (key, value.strip_prefix(b"=").unwrap_or(value))
}

/// As a form has it, where `+` is a space.
fn spaced(text: &[u8]) -> Vec<u8> {
    text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect()
}

/// What follows `https:` and the like (RFC 3986 §3.1).
fn after_scheme(url: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = url.split_at_checked(memchr(b':', url)?)?;
    let in_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    if scheme.iter().all(in_scheme) { rest.strip_prefix(b":") } else { None }
}
