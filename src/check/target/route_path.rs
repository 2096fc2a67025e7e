//! A configured path: `/a/b`, or `/a/*` for `/a` and everything below it.
//!
//! It must be the one plain spelling, because requests are compared with it byte by byte. Must never normalise what the
//! operator wrote: an odd path is a problem to be shown. Source: RFC 3986 §3.3 (pchar), less `%`, `;` and `*`.

use std::fmt;

/// A route's or an alias's path, plain by construction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RoutePath {
    /// Without `*` and without a trailing slash: `""` is the root.
    stem: Box<str>,
    prefix: bool,
}

/// Why a path is not plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoutePathError {
    /// Does not start with `/`.
    NoLeadingSlash,
    /// Has an empty segment: `//`.
    EmptySegment,
    /// Has a segment `.` or `..`.
    DotSegment,
    /// Ends in `/` without being the root.
    TrailingSlash,
    /// Has a `*` anywhere but as the last segment.
    Wildcard,
    /// Has a character that is not plain in a path: `%`, `;`, `?`, `#`, `\`, a space, anything beyond ASCII.
    Forbidden(char),
}

impl RoutePath {
    /// Reads `/a/b` (that path alone) or `/a/*` (`/a` and all below it). `/` and `/*` are allowed.
    ///
    /// # Errors
    /// The first [`RoutePathError`] from the left.
    pub fn parse(text: &str) -> Result<Self, RoutePathError> {
        if !text.starts_with('/') {
            return Err(RoutePathError::NoLeadingSlash);
        }
        if let Some(bad) = text.chars().find(|c| *c != '/' && *c != '*' && !is_plain(*c)) {
            return Err(RoutePathError::Forbidden(bad));
        }
        let pattern = text.strip_suffix("/*");
        let stem = if text == "/" { "" } else { pattern.unwrap_or(text) };
        if stem.contains('*') {
            return Err(RoutePathError::Wildcard);
        }
        if stem.contains("//") || (pattern.is_some() && stem.ends_with('/')) {
            return Err(RoutePathError::EmptySegment);
        }
        if stem.ends_with('/') {
            return Err(RoutePathError::TrailingSlash);
        }
        if stem.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(RoutePathError::DotSegment);
        }
        Ok(Self { stem: stem.into(), prefix: pattern.is_some() })
    }

    /// Whether everything below belongs to it as well.
    pub const fn is_prefix(&self) -> bool {
        self.prefix
    }

    /// The path without `/*`, case kept; `""` for the root.
    pub const fn stem(&self) -> &str {
        &self.stem
    }

    /// Whether both stand for the same requests. Case does not count: an app may rewrite without minding it.
    pub fn collides(&self, other: &Self) -> bool {
        self.prefix == other.prefix && self.stem.eq_ignore_ascii_case(&other.stem)
    }

    /// Equal for two paths exactly when they collide.
    pub fn key(&self) -> String {
        self.to_string().to_ascii_lowercase()
    }
}

/// As configured.
impl fmt::Display for RoutePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.stem)?;
        match (self.prefix, self.stem.is_empty()) {
            (true, _) => f.write_str("/*"),
            (false, true) => f.write_str("/"),
            (false, false) => Ok(()),
        }
    }
}

impl fmt::Display for RoutePathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLeadingSlash => f.write_str("it must start with `/`"),
            Self::EmptySegment => f.write_str("it has an empty segment (`//`)"),
            Self::DotSegment => f.write_str("it has a `.` or `..` segment"),
            Self::TrailingSlash => f.write_str(
                "it must not end in `/` (the path with one `/` more is taken anyway; `/*` is everything below)",
            ),
            Self::Wildcard => f.write_str("`*` may only be the last segment, as in `/hooks/*`"),
            Self::Forbidden('?') => f.write_str("a route is a path, without a query"),
            Self::Forbidden('%') => f.write_str("it must be written without percent-encoding"),
            Self::Forbidden(bad) => write!(f, "it has a {bad:?}, which is not plain in a path"),
        }
    }
}

impl std::error::Error for RoutePathError {}

/// pchar without what starts an encoding, a parameter or a pattern.
const fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || matches!(c, '-' | '.' | '_' | '~' | '!' | '$' | '&' | '\'' | '(' | ')' | '+' | ',' | '=' | ':' | '@')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_exact_paths_and_prefixes_and_prints_them_as_written() {
        for (text, stem, prefix) in [
            ("/api/webhooks/clerk", "/api/webhooks/clerk", false),
            ("/api/Hooks/v1.2/a_b-c~d", "/api/Hooks/v1.2/a_b-c~d", false),
            ("/api/hooks/*", "/api/hooks", true),
            ("/", "", false),
            ("/*", "", true),
            ("/.well-known/hook", "/.well-known/hook", false),
            ("/a..b/...", "/a..b/...", false),
        ] {
            let path = RoutePath::parse(text).unwrap();
            assert_eq!((path.stem(), path.is_prefix()), (stem, prefix), "{text}");
            assert_eq!(path.to_string(), text);
        }
    }

    #[test]
    fn says_why_a_path_is_not_plain() {
        use RoutePathError::*;
        for (text, error) in [
            ("", NoLeadingSlash),
            ("api", NoLeadingSlash),
            ("*", NoLeadingSlash),
            ("https://x/y", NoLeadingSlash),
            ("//", EmptySegment),
            ("//api", EmptySegment),
            ("/api//hook", EmptySegment),
            ("/api//*", EmptySegment),
            ("//*", EmptySegment),
            ("/api/./hook", DotSegment),
            ("/api/..", DotSegment),
            ("/../*", DotSegment),
            ("/api/", TrailingSlash),
            ("/api*", Wildcard),
            ("/*/hook", Wildcard),
            ("/api/**", Wildcard),
            ("/api/*/", Wildcard),
            ("/api/*/*", Wildcard),
            ("/api/%63lerk", Forbidden('%')),
            ("/api?x", Forbidden('?')),
            ("/api#x", Forbidden('#')),
            ("/api\\x", Forbidden('\\')),
            ("/api;x", Forbidden(';')),
            ("/api x", Forbidden(' ')),
            ("/api/\u{e9}", Forbidden('\u{e9}')),
            ("/api/\0", Forbidden('\0')),
            ("/[provider]", Forbidden('[')),
        ] {
            assert_eq!(RoutePath::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn paths_that_differ_only_in_case_collide_and_an_exact_path_does_not_collide_with_its_prefix() {
        let parse = |text| RoutePath::parse(text).unwrap();
        for (a, b, expected) in [
            ("/Hook", "/hook", true),
            ("/hook/*", "/HOOK/*", true),
            ("/hook", "/hook/*", false),
            ("/hook", "/hooks", false),
            ("/", "/*", false),
        ] {
            assert_eq!(parse(a).collides(&parse(b)), expected, "{a} {b}");
            assert_eq!(parse(a).key() == parse(b).key(), expected, "{a} {b}");
        }
    }
}
