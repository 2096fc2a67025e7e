//! Secret bytes: never empty, never printed, wiped when dropped.
//!
//! An empty key would let anyone sign (two vendors' libraries accept one), so a `Secret` cannot be made from nothing.

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

/// Key material or the text it is decoded from. Not empty by construction; `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

/// Where a secret came from; never the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// An environment variable.
    Variable(Box<str>),
    /// A file.
    File(PathBuf),
    /// `insecure_value`.
    Inline,
}

/// The secret has no bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret is empty")]
pub struct EmptySecret;

impl Secret {
    /// The bytes themselves, for the MAC alone.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<Vec<u8>> for Secret {
    type Error = EmptySecret;

    fn try_from(bytes: Vec<u8>) -> Result<Self, EmptySecret> {
        let bytes = Zeroizing::new(bytes);
        if bytes.is_empty() { Err(EmptySecret) } else { Ok(Self(bytes)) }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cannot_be_empty() {
        assert_eq!(Secret::try_from(Vec::new()).map(|_| ()), Err(EmptySecret));
    }

    #[test]
    fn is_not_printed() {
        let secret = Secret::try_from(b"hunter2".to_vec()).unwrap();
        assert!(!format!("{secret:?}").contains("hunter2"));
    }
}
