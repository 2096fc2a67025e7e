//! Why the replay store gave no answer.
//!
//! Must never hold the server's own words: a server without AUTH repeats the password in its complaint. Source: the error
//! codes of Redis, <https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors>.

use std::io;

use ::redis::RedisError;

/// The reason. Says it of "the replay store".
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Down {
    /// Its name has no address.
    #[error("its name cannot be resolved")]
    Name,
    /// No connection.
    #[error("connecting failed: {}", words(*.0))]
    Connect(io::ErrorKind),
    /// A certificate that is not trusted or has another name, or no TLS at all.
    #[error("TLS failed: {0}")]
    Tls(rustls::Error),
    /// Not within the limit.
    #[error("there was no answer in time")]
    Timeout,
    /// The connection ended.
    #[error("the connection broke")]
    Broken,
    /// Wrong username or password.
    #[error("it refuses the username or the password")]
    Credentials,
    /// NOAUTH.
    #[error("it asks for a password, and none is configured")]
    NoCredentials,
    /// SELECT failed.
    #[error("it has no database of that number")]
    Database,
    /// READONLY.
    #[error("it is a read-only replica")]
    ReadOnly,
    /// LOADING.
    #[error("it is still loading its data")]
    Loading,
    /// MASTERDOWN.
    #[error("it is a replica that has lost its master")]
    MasterDown,
    /// OOM.
    #[error("its memory is full")]
    Full,
    /// MOVED, ASK, CLUSTERDOWN, CROSSSLOT.
    #[error("it is a node of a cluster, which cannot be used")]
    Cluster,
    /// Claims that the server may have lost are taken again, before new ones are made.
    #[error("it is there again, and those that were running come first")]
    Settling,
    /// Another error code of the server.
    #[error("it refuses the command: {0}")]
    Refused(Box<str>),
    /// Not what a Redis server says.
    #[error("its answer is not understood")]
    Answer,
}

/// The standard library's, but for a socket of the file system, which it calls an entity.
fn words(kind: io::ErrorKind) -> String {
    if kind == io::ErrorKind::NotFound { "there is no such socket".to_owned() } else { kind.to_string() }
}

impl Down {
    pub(super) fn of(error: &RedisError) -> Self {
        match error.code() {
            Some(code) => Self::of_code(code, error.detail().unwrap_or_default()),
            None if error.is_io_error() => Self::Broken,
            None => Self::Answer,
        }
    }

    fn of_code(code: &str, detail: &str) -> Self {
        match code {
            "NOAUTH" => Self::NoCredentials,
            "WRONGPASS" => Self::Credentials,
            "READONLY" => Self::ReadOnly,
            "LOADING" => Self::Loading,
            "MASTERDOWN" => Self::MasterDown,
            "OOM" => Self::Full,
            "MOVED" | "ASK" | "CLUSTERDOWN" | "CROSSSLOT" | "TRYAGAIN" => Self::Cluster,
            // Redis 6 wraps what a command inside a script says: `… @user_script: 1: -READONLY You can't write …`.
            "ERR" if detail.starts_with("Error running script") => {
                let inner = detail.split_ascii_whitespace().find_map(|word| word.strip_prefix('-'));
                inner.map_or_else(|| Self::refused("ERR"), |inner| Self::of_code(inner, ""))
            }
            _ => Self::refused(code),
        }
    }

    fn refused(code: &str) -> Self {
        let plain = code.len() <= 24 && code.bytes().all(|byte| byte.is_ascii_uppercase());
        Self::Refused(if plain { code } else { "unknown" }.into())
    }

    /// An answer of the server: what it was told, it did not do.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Self::Credentials
            | Self::NoCredentials
            | Self::Database
            | Self::ReadOnly
            | Self::Loading
            | Self::MasterDown
            | Self::Full
            | Self::Cluster
            | Self::Refused(_) => true,
            Self::Name
            | Self::Connect(_)
            | Self::Tls(_)
            | Self::Timeout
            | Self::Broken
            | Self::Settling
            | Self::Answer => false,
        }
    }

    /// Another connection may do better: it may reach another server, or the same one at a better time.
    pub(super) fn ends_the_link(&self) -> bool {
        !matches!(self, Self::Settling | Self::Full | Self::Cluster | Self::Refused(_))
    }
}

/// Of connecting, in TLS or before it.
impl From<io::Error> for Down {
    fn from(error: io::Error) -> Self {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        tls.map_or_else(|| Self::Connect(error.kind()), |tls| Self::Tls(tls.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> Down {
        let value = ::redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        Down::of(&value.extract_error().unwrap_err())
    }

    #[test]
    fn knows_the_codes_of_the_server() {
        for (line, expected) in [
            ("NOAUTH Authentication required.", Down::NoCredentials),
            ("WRONGPASS invalid username-password pair or user is disabled.", Down::Credentials),
            ("READONLY You can't write against a read only replica.", Down::ReadOnly),
            ("LOADING Redis is loading the dataset in memory", Down::Loading),
            ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", Down::MasterDown),
            ("OOM command not allowed when used memory > 'maxmemory'.", Down::Full),
            ("MOVED 3999 127.0.0.1:6381", Down::Cluster),
            ("NOPERM this user has no permissions to run the 'eval' command", Down::Refused("NOPERM".into())),
            ("ERR max number of clients reached", Down::Refused("ERR".into())),
        ] {
            assert_eq!(said(line), expected, "{line}");
        }
    }

    #[test]
    fn reads_through_the_wrapping_that_redis_6_puts_around_an_error_in_a_script() {
        let wrapped = |inner: &str| {
            said(&format!("ERR Error running script (call to f_ab): @user_script:1: @user_script: 1: {inner}"))
        };
        assert_eq!(wrapped("-READONLY You can't write against a read only replica."), Down::ReadOnly);
        assert_eq!(wrapped("-OOM command not allowed when used memory > 'maxmemory'."), Down::Full);
        assert_eq!(wrapped("Wrong number of args"), Down::Refused("ERR".into()));
    }

    #[test]
    fn repeats_nothing_that_the_server_says_beside_its_code() {
        let down = said("ERR unknown command 'AUTH', with args beginning with: 'hunter2'");
        assert_eq!(down, Down::Refused("ERR".into()));
        assert_eq!(said("hunter2 is wrong"), Down::Refused("unknown".into()));
    }

    #[test]
    fn an_error_of_tls_is_told_from_one_of_the_socket() {
        let tls = rustls::Error::HandshakeNotComplete;
        assert_eq!(Down::from(io::Error::new(io::ErrorKind::InvalidData, tls.clone())), Down::Tls(tls));
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(Down::from(refused), Down::Connect(io::ErrorKind::ConnectionRefused));
    }
}
