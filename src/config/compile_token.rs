//! `[verified_event.token]`: the key that signs tokens for the app.
//!
//! Must never put a part of the key into a problem; a key that could be guessed, or that is of another kind than its
//! algorithm, is refused here.

use super::compile::Context;
use super::raw::Table;
use crate::token::{TokenAlgorithm, TokenKeyError, TokenSigner};

/// Longest `audience` and `issuer`, in bytes: they are in every request to the app.
const LONGEST: usize = 256;
const NEW_SHARED: &str = "make one: openssl rand -base64 32";
const NEW_PRIVATE: &str = "make one: openssl genpkey -algorithm ed25519";

impl Context<'_, '_> {
    /// # Errors
    /// A problem was reported.
    pub(super) fn token(&mut self, raw: &Table) -> Result<Option<TokenSigner>, ()> {
        let Some(table) = raw.table("verified_event").and_then(|table| table.table("token")) else { return Ok(None) };
        self.signer(table).map(Some).ok_or(())
    }

    fn signer(&mut self, table: &Table) -> Option<TokenSigner> {
        let (audience, issuer) = (self.party(table, "audience"), self.party(table, "issuer"));
        let algorithm = match table.text("algorithm")?.0 {
            "EdDSA" => TokenAlgorithm::EdDsa,
            _ => TokenAlgorithm::Hs256,
        };
        let (_, spot, key) = match algorithm {
            TokenAlgorithm::Hs256 => self.one(table.table("key")?, false)?,
            // A newline at the end is a part of PEM, and not worth a note.
            TokenAlgorithm::EdDsa => self.as_it_is(table.table("key")?, false)?,
        };
        let ttl = table.duration("ttl")?.as_secs();
        match TokenSigner::new(algorithm, &key, issuer?, audience?, ttl) {
            Ok(signer) => Some(signer),
            Err(error) => {
                let hint = match error {
                    TokenKeyError::TooShort(_) => NEW_SHARED.to_owned(),
                    TokenKeyError::Pem => format!("write algorithm = \"EdDSA\" for a private key, or {NEW_SHARED}"),
                    TokenKeyError::NotPkcs8 | TokenKeyError::NotEd25519 => NEW_PRIVATE.to_owned(),
                    TokenKeyError::Provider => "report this".to_owned(),
                };
                self.findings.error(&spot, error.to_string(), hint);
                None
            }
        }
    }

    fn party<'t>(&mut self, table: &'t Table, key: &str) -> Option<&'t str> {
        let (text, spot) = table.text(key)?;
        if text.is_empty() || text.len() > LONGEST || text.chars().any(char::is_control) {
            let hint = format!("write a name of at most {LONGEST} bytes");
            self.findings.error(spot, "is empty, too long or holds a control character", hint);
            return None;
        }
        Some(text)
    }
}
