//! What the routing table is compiled from, and what can be wrong with it.
//!
//! Two routes that some reader takes for each other would let the holder of one route's secret reach the other's
//! handler, so they are refused at load instead of being told apart by guessing at every request.

use std::fmt;

use super::Framework;
use super::reading::{Owner, Protected, Readings, Seen};
use super::route_path::{RoutePath, RoutePathError};

/// What [`Targets::compile`] needs to know.
#[derive(Debug, Clone, Copy)]
pub struct TargetSpec<'a> {
    /// How the app reads paths.
    pub framework: Framework,
    /// `""`, or the path that the app is mounted under, such as `/base`; a route is reached at this plus its own path.
    pub base_path: &'a str,
    /// `""`, or the path of the app's `assetPrefix`, which Next.js strips from any path where it has locales.
    pub asset_prefix: &'a str,
    /// Locales that may stand before a path, such as `en-US`.
    pub locales: &'a [String],
    /// Paths that the app itself rewrites to a protected route. They are refused: the route has one plain spelling.
    pub aliases: &'a [RoutePath],
    /// The protected routes; [`Verdict::Route`] is an index into this list.
    pub routes: &'a [RoutePath],
}

/// Why a [`TargetSpec`] does not compile. Numbers are indices into the spec's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecFault {
    /// `base_path` is neither empty nor a plain path.
    BasePath(RoutePathError),
    /// `asset_prefix` is neither empty nor a plain path.
    AssetPrefix(RoutePathError),
    /// The locale is not made of letters, digits, `-` and `_`.
    Locale(usize),
    /// Two routes have the same path, or paths that differ only in case.
    Collision(usize, usize),
    /// The app may read the first route's plain path as the second route, and so run the second's handler for a request
    /// that was verified with the first's secrets.
    Shadow(usize, usize),
    /// The first route's plain path is a way to the alias, which would be refused.
    RouteReadsAsAlias(usize),
    /// The alias (first) lies inside a route (second), which protects it already.
    AliasInsideRoute(usize, usize),
}

impl fmt::Display for SpecFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BasePath(error) => write!(f, "the base path is not plain: {error}"),
            Self::AssetPrefix(error) => write!(f, "the asset prefix is not plain: {error}"),
            Self::Locale(_) => f.write_str("a locale is made of letters, digits, `-` and `_`"),
            Self::Collision(..) => f.write_str("two routes have the same path (case does not count)"),
            Self::Shadow(..) => f.write_str("the app may read one route's path as another route"),
            Self::RouteReadsAsAlias(_) => f.write_str("the app may read the route's path as a declared alias"),
            Self::AliasInsideRoute(..) => f.write_str("the alias lies inside a route, which protects it already"),
        }
    }
}

impl std::error::Error for SpecFault {}

/// `""`, or a plain path that is not a pattern.
pub(super) fn base_path(text: &str) -> Result<&str, RoutePathError> {
    match text {
        "" => Ok(""),
        "/" => Err(RoutePathError::TrailingSlash),
        _ if RoutePath::parse(text)?.is_prefix() => Err(RoutePathError::Wildcard),
        _ => Ok(text),
    }
}

pub(super) fn bad_locales(locales: &[String]) -> impl Iterator<Item = SpecFault> {
    let is_fine = |locale: &str| {
        !locale.is_empty() && locale.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    (0..).zip(locales).filter(move |(_, locale)| !is_fine(locale)).map(|(index, _)| SpecFault::Locale(index))
}

/// Routes and aliases that get in each other's way.
pub(super) fn conflicts(spec: &TargetSpec<'_>, base: &str, readings: &Readings) -> Vec<SpecFault> {
    let mut faults = Vec::new();
    for (index, route) in (0..).zip(spec.routes) {
        let twin = spec.routes.iter().take(index).position(|earlier| earlier.collides(route));
        faults.extend(twin.map(|earlier| SpecFault::Collision(earlier, index)));
        // A prefix stands for what lies below it; what equals it may be an exact route of its own.
        let below = if route.is_prefix() { "/~" } else { "" };
        let mut seen = Seen::default();
        let plain = [base, route.stem(), below].concat();
        readings.read(plain.as_bytes(), Some(&Protected::route(route, index)), &mut seen);
        faults.extend(seen.shadow.map(|owner| match owner {
            Owner::Route(other) => SpecFault::Shadow(index, other),
            Owner::Alias => SpecFault::RouteReadsAsAlias(index),
        }));
    }
    for (index, alias) in (0..).zip(spec.aliases) {
        let inside = |(route, path)| Protected::route(path, route).contains(&Protected::alias(alias)).then_some(route);
        faults.extend((0..).zip(spec.routes).find_map(inside).map(|route| SpecFault::AliasInsideRoute(index, route)));
    }
    faults
}
