//! Where the replay store is: the URL an operator writes, and what it becomes.
//!
//! Must never take credentials from the URL, which is printed. Source: the scheme as registered with IANA,
//! <https://www.iana.org/assignments/uri-schemes/prov/redis>.

use std::fmt;
use std::net::Ipv6Addr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use zeroize::Zeroizing;

use crate::secret::Secret;

const PORT: u16 = 6379;

/// Where the store is and how it is reached.
#[derive(Debug, Clone)]
pub struct RedisPlace {
    /// A name or an address without brackets; one that begins with `/` is the path of a Unix socket.
    pub host: String,
    /// Not used with a Unix socket.
    pub port: u16,
    /// The database's number.
    pub db: i64,
    /// None: the server's `default` user.
    pub username: Option<String>,
    /// None: AUTH is not sent.
    pub password: Option<Secret>,
    /// None: no TLS.
    pub tls: Option<RedisTls>,
    /// What every key begins with, before a colon.
    pub namespace: String,
}

/// TLS towards the store.
#[derive(Debug, Clone)]
pub struct RedisTls {
    /// Whom we trust.
    pub config: Arc<ClientConfig>,
    /// The name that the certificate must have.
    pub name: ServerName<'static>,
}

/// What the URL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedUrl {
    /// As in [`RedisPlace`].
    pub host: String,
    /// 6379 where the URL names none.
    pub port: u16,
    /// 0 where the URL names none.
    pub db: i64,
    /// `rediss`.
    pub tls: bool,
}

/// What is wrong with the URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlaceFault {
    /// Neither of the three.
    #[error("begins with neither redis:// nor rediss:// nor unix:/")]
    Scheme,
    /// Before an `@`.
    #[error("holds a username or a password: credentials come from an environment variable or a file")]
    Credentials,
    /// `?`
    #[error("has a query, which means nothing here")]
    Query,
    /// `#`
    #[error("has a fragment, which means nothing here")]
    Fragment,
    /// Nothing, or letters that no name or address has.
    #[error("has no valid host")]
    Host,
    /// Not 1 to 65535.
    #[error("has a port that is not a number from 1 to 65535")]
    Port,
    /// After the slash.
    #[error("has a path that is not a database's number")]
    Database,
}

impl RedisPlace {
    /// Whether it is the same store with the same names and the same credentials.
    pub fn is_same(&self, other: &Self) -> bool {
        let password =
            |place: &Self| place.password.as_ref().map(|password| password.expose().to_vec()).map(Zeroizing::new);
        self.host == other.host
            && (self.port, self.db, self.tls.is_some()) == (other.port, other.db, other.tls.is_some())
            && (&self.namespace, &self.username) == (&other.namespace, &other.username)
            && password(self) == password(other)
    }

    /// Reads `redis://host[:port][/db]`, the same with `rediss` for TLS, or `unix:/path`.
    ///
    /// # Errors
    /// What of it is wrong or not understood.
    pub fn parse(url: &str) -> Result<ParsedUrl, PlaceFault> {
        if let Some(path) = url.strip_prefix("unix:").filter(|path| path.starts_with('/')) {
            return socket(path);
        }
        let (scheme, rest) = url.split_once("://").ok_or(PlaceFault::Scheme)?;
        let tls = match scheme {
            "redis" => false,
            "rediss" => true,
            _ => return Err(PlaceFault::Scheme),
        };
        // Before all else: a password may hold any of the other letters.
        if rest.contains('@') {
            return Err(PlaceFault::Credentials);
        }
        no_query(rest)?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = host_and_port(authority)?;
        Ok(ParsedUrl { host, port, db: database(path)?, tls })
    }
}

fn socket(path: &str) -> Result<ParsedUrl, PlaceFault> {
    no_query(path)?;
    // `unix://host/path` is no path, and `/` alone no socket.
    if path.starts_with("//") || path == "/" || path.contains('\0') {
        return Err(PlaceFault::Host);
    }
    Ok(ParsedUrl { host: path.to_owned(), port: PORT, db: 0, tls: false })
}

fn no_query(text: &str) -> Result<(), PlaceFault> {
    match text.find(['?', '#']).and_then(|at| text.get(at..)) {
        None => Ok(()),
        Some(rest) if rest.starts_with('?') => Err(PlaceFault::Query),
        Some(_) => Err(PlaceFault::Fragment),
    }
}

fn host_and_port(authority: &str) -> Result<(String, u16), PlaceFault> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or(PlaceFault::Host)?;
        host.parse::<Ipv6Addr>().map_err(|_| PlaceFault::Host)?;
        match after.strip_prefix(':') {
            None if after.is_empty() => (host, None),
            None => return Err(PlaceFault::Host),
            Some(port) => (host, Some(port)),
        }
    } else {
        let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
        let named = |letter: u8| letter.is_ascii_alphanumeric() || b"-._".contains(&letter);
        if host.is_empty() || host.len() > 253 || !host.bytes().all(named) {
            return Err(PlaceFault::Host);
        }
        (host, port)
    };
    let port = port.map_or(Ok(PORT), |port| digits(port).ok_or(PlaceFault::Port))?;
    if port == 0 { Err(PlaceFault::Port) } else { Ok((host.to_owned(), port)) }
}

fn database(path: &str) -> Result<i64, PlaceFault> {
    if path.is_empty() { Ok(0) } else { digits::<u16>(path).map(i64::from).ok_or(PlaceFault::Database) }
}

/// `parse` alone would take a plus sign.
fn digits<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|letter| letter.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// For log lines.
impl fmt::Display for RedisPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, db, tls, .. } = self;
        let scheme = if tls.is_some() { "rediss" } else { "redis" };
        if host.starts_with('/') {
            write!(f, "unix:{host}")
        } else if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}/{db}")
        } else {
            write!(f, "{scheme}://{host}:{port}/{db}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(host: &str, port: u16, db: i64, tls: bool) -> ParsedUrl {
        ParsedUrl { host: host.into(), port, db, tls }
    }

    #[test]
    fn takes_what_the_scheme_allows() {
        for (url, expected) in [
            ("redis://cache", parsed("cache", 6379, 0, false)),
            ("redis://cache/", parsed("cache", 6379, 0, false)),
            ("redis://cache.example:1/2", parsed("cache.example", 1, 2, false)),
            ("rediss://10.0.0.7:65535/65535", parsed("10.0.0.7", 65535, 65535, true)),
            ("redis://[::1]", parsed("::1", 6379, 0, false)),
            ("rediss://[2001:db8::7]:6380/15", parsed("2001:db8::7", 6380, 15, true)),
            ("unix:/run/redis.sock", parsed("/run/redis.sock", 6379, 0, false)),
        ] {
            assert_eq!(RedisPlace::parse(url), Ok(expected), "{url}");
        }
    }

    #[test]
    fn refuses_every_oddity_by_its_name() {
        for (url, fault) in [
            ("", PlaceFault::Scheme),
            ("cache:6379", PlaceFault::Scheme),
            ("http://cache", PlaceFault::Scheme),
            ("Redis://cache", PlaceFault::Scheme),
            ("redis+tls://cache", PlaceFault::Scheme),
            ("unix:run/redis.sock", PlaceFault::Scheme),
            ("redis://:hunter2@cache", PlaceFault::Credentials),
            ("redis://user@cache", PlaceFault::Credentials),
            ("redis://user:a/b?c#d@cache", PlaceFault::Credentials),
            ("redis://cache?db=1", PlaceFault::Query),
            ("redis://cache/1?protocol=3", PlaceFault::Query),
            ("unix:/run/redis.sock?db=1", PlaceFault::Query),
            ("rediss://cache/#insecure", PlaceFault::Fragment),
            ("redis://", PlaceFault::Host),
            ("redis://:6379", PlaceFault::Host),
            ("redis:///1", PlaceFault::Host),
            ("redis://a b", PlaceFault::Host),
            ("redis://caché", PlaceFault::Host),
            ("redis://a,b", PlaceFault::Host),
            ("redis://[::1", PlaceFault::Host),
            ("redis://[cache]", PlaceFault::Host),
            ("redis://[::1]6379", PlaceFault::Host),
            ("unix:/", PlaceFault::Host),
            ("unix://cache/run", PlaceFault::Host),
            ("redis://cache:", PlaceFault::Port),
            ("redis://cache:0", PlaceFault::Port),
            ("redis://cache:+1", PlaceFault::Port),
            ("redis://cache:65536", PlaceFault::Port),
            ("redis://::1", PlaceFault::Host),
            ("redis://cache/65536", PlaceFault::Database),
            ("redis://cache/+1", PlaceFault::Database),
            ("redis://cache/-1", PlaceFault::Database),
            ("redis://cache/1/", PlaceFault::Database),
            ("redis://cache/db", PlaceFault::Database),
        ] {
            assert_eq!(RedisPlace::parse(url), Err(fault), "{url}");
        }
    }

    #[test]
    fn is_printed_without_credentials() {
        let mut place = RedisPlace {
            host: "::1".into(),
            port: 1,
            db: 2,
            username: Some("app".into()),
            password: Secret::try_from(b"hunter2".to_vec()).ok(),
            tls: None,
            namespace: "hookward".into(),
        };
        assert_eq!(place.to_string(), "redis://[::1]:1/2");
        assert!(!format!("{place:?}").contains("hunter2"));
        place.host = "/run/redis.sock".into();
        assert_eq!(place.to_string(), "unix:/run/redis.sock");
    }
}
