//! The signed proof for the app: a JSON Web Token (RFC 7519) beside the `verified-event` header.
//!
//! A plain header proves nothing to an app that can be reached around hookward; this one can be checked with a key, and it
//! names the body by its hash, so that it is worth nothing with another one. The library that writes it brings no
//! cryptography: ours is ring's. Must never hold a member that the sender's signature does not cover, nor print a key.

use std::fmt;
use std::sync::OnceLock;

use bytes::Bytes;
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Signer};
use jsonwebtoken::{Algorithm, AlgorithmFamily, EncodingKey, Header};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::Ed25519KeyPair;
use ring::{digest, hmac};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Serialize;
use zeroize::Zeroize;

/// Shortest HS256 key in bytes (RFC 7518 §3.2).
const SHORTEST: usize = 32;

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenAlgorithm {
    /// HMAC with SHA-256: hookward and the app share one key.
    Hs256,
    /// Ed25519: the app knows the public key alone.
    EdDsa,
}

/// As in the token's own header.
impl fmt::Display for TokenAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hs256 => "HS256",
            Self::EdDsa => "EdDSA",
        })
    }
}

/// Why a key cannot sign tokens. Says nothing of the key but its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenKeyError {
    /// An HS256 key that could be guessed.
    #[error("the key has {0} bytes; HS256 needs at least {SHORTEST}")]
    TooShort(usize),
    /// A PEM text as an HS256 key: where it is a public one, everybody could sign.
    #[error("the key is a PEM text; HS256 needs a random one")]
    Pem,
    /// Not PKCS #8, encrypted, or no PEM at all.
    #[error("the key is not an unencrypted private key in PEM (PKCS #8)")]
    NotPkcs8,
    /// A private key for something else.
    #[error("the private key is not an Ed25519 key")]
    NotEd25519,
    /// Somebody else in this process has chosen the cryptography of tokens.
    #[error("the process signs tokens with another library")]
    Provider,
}

/// What a token says about a delivery: nothing that is not signed.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'v> {
    /// The delivery's id.
    pub id: Option<&'v str>,
    /// The event's type.
    pub event_type: Option<&'v str>,
    /// The scheme's name.
    pub provider: &'v str,
    /// The route's name.
    pub route: &'v str,
    /// The label of the secret.
    pub secret: &'v str,
    /// When the attempt was signed, in unix seconds.
    pub timestamp: Option<u64>,
    /// What the signature covers, where that is not the whole body.
    pub proof: Option<&'static str>,
}

/// Signs tokens with one key.
#[derive(Debug)]
pub struct TokenSigner {
    algorithm: TokenAlgorithm,
    header: Header,
    key: EncodingKey,
    issuer: Box<str>,
    audience: Box<str>,
    /// Seconds.
    ttl: u64,
}

impl TokenSigner {
    /// `key` is the shared key itself, or the private key in PEM. `ttl` is in seconds.
    ///
    /// # Errors
    /// The key is not one for this algorithm.
    pub fn new(
        algorithm: TokenAlgorithm,
        key: &[u8],
        issuer: &str,
        audience: &str,
        ttl: u64,
    ) -> Result<Self, TokenKeyError> {
        static INSTALLED: OnceLock<bool> = OnceLock::new();
        // The library takes one provider for the whole process, and only the first.
        if !INSTALLED.get_or_init(|| RING.install_default().is_ok()) {
            return Err(TokenKeyError::Provider);
        }
        let (key, header) = match algorithm {
            TokenAlgorithm::Hs256 => (shared_key(key)?, Header::new(Algorithm::HS256)),
            TokenAlgorithm::EdDsa => (private_key(key)?, Header::new(Algorithm::EdDSA)),
        };
        Ok(Self { algorithm, header, key, issuer: issuer.into(), audience: audience.into(), ttl })
    }

    /// How tokens are signed.
    pub fn algorithm(&self) -> TokenAlgorithm {
        self.algorithm
    }

    /// For whom tokens are.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// How long a token is good, in seconds.
    pub fn ttl(&self) -> u64 {
        self.ttl
    }

    /// A token for one delivery with this body, `now` in unix seconds. `None`: the system gave no random bytes.
    pub fn sign(&self, facts: Facts<'_>, body: &[Bytes], now: u64) -> Option<String> {
        let mut jti = [0; 16];
        SystemRandom::new().fill(&mut jti).ok()?;
        let mut hash = digest::Context::new(&digest::SHA256);
        for frame in body {
            hash.update(frame);
        }
        let claims = Claims {
            iss: &self.issuer,
            aud: &self.audience,
            iat: now,
            exp: now.checked_add(self.ttl)?,
            jti: hex(&jti),
            id: facts.id,
            event_type: facts.event_type,
            provider: facts.provider,
            route: facts.route,
            secret: facts.secret,
            timestamp: facts.timestamp,
            proof: facts.proof,
            body_sha256: hex(hash.finish().as_ref()),
        };
        jsonwebtoken::encode(&self.header, &claims, &self.key).ok()
    }
}

/// RFC 7519 §4.1, then the members of `verified-event` under their names there.
#[derive(Serialize)]
struct Claims<'c> {
    iss: &'c str,
    aud: &'c str,
    iat: u64,
    exp: u64,
    jti: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'c str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    event_type: Option<&'c str>,
    provider: &'c str,
    route: &'c str,
    secret: &'c str,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<&'c str>,
    body_sha256: String,
}

fn shared_key(key: &[u8]) -> Result<EncodingKey, TokenKeyError> {
    if key.trim_ascii_start().starts_with(b"-----BEGIN") {
        return Err(TokenKeyError::Pem);
    }
    if key.len() < SHORTEST {
        return Err(TokenKeyError::TooShort(key.len()));
    }
    Ok(EncodingKey::from_secret(key))
}

fn private_key(pem: &[u8]) -> Result<EncodingKey, TokenKeyError> {
    let mut der = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| TokenKeyError::NotPkcs8)?;
    let bytes = der.secret_pkcs8_der();
    let usable = key_pair(bytes).map(|_| EncodingKey::from_ed_der(bytes)).ok_or(TokenKeyError::NotEd25519);
    der.zeroize();
    usable
}

/// OpenSSL writes keys without the public half (version 1), which `from_pkcs8` does not take.
fn key_pair(der: &[u8]) -> Option<Ed25519KeyPair> {
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()
}

/// Lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().map_or('0', char::from);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The two algorithms by ring, for signing alone.
static RING: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| match (algorithm, key.family()) {
        (Algorithm::HS256, AlgorithmFamily::Hmac) => {
            Ok(Box::new(Hs256(hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()))))
        }
        (Algorithm::EdDSA, AlgorithmFamily::Ed) => {
            Ok(Box::new(EdDsa(key_pair(key.as_bytes()).ok_or_else(unsupported)?)))
        }
        _ => Err(unsupported()),
    },
    verifier_factory: |_, _| Err(unsupported()),
    key_utils: KeyUtils {
        rsa_pub_components_from_private_key: |_| Err(unsupported()),
        rsa_pub_components_from_public_key: |_| Err(unsupported()),
        ec_pub_components_from_private_key: |_, _| Err(unsupported()),
        ed_pub_components_from_private_key: |_, _| Err(unsupported()),
        compute_digest: |_, _| Err(unsupported()),
    },
};

fn unsupported() -> Error {
    ErrorKind::InvalidAlgorithm.into()
}

struct Hs256(hmac::Key);

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

struct EdDsa(Ed25519KeyPair);

impl Signer<Vec<u8>> for EdDsa {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(self.0.sign(message).as_ref().to_vec())
    }
}

impl JwtSigner for EdDsa {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use ed25519_dalek::{Signature, VerifyingKey};
    use serde_json::{Value, json};

    const KEY: &[u8] = b"a key of thirty-two bytes, right";
    const NOW: u64 = 1_731_705_121;
    const PEM: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAZ+d8FL/JgWpMS6XJ/AofCNYSa7iyK6/oNo+bJUMSbn\n-----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "5553149d05e5d996124092c1f8b8116082101f2832771035356f65deff71e5ad";
    const FACTS: Facts<'static> = Facts {
        id: Some("msg_1"),
        event_type: Some("user.created"),
        provider: "clerk",
        route: "clerk",
        secret: "current",
        timestamp: Some(1_731_705_120),
        proof: None,
    };

    fn signer(algorithm: TokenAlgorithm, key: &[u8]) -> Result<TokenSigner, TokenKeyError> {
        TokenSigner::new(algorithm, key, "hookward", "app", 60)
    }

    fn refused(algorithm: TokenAlgorithm, key: &[u8]) -> TokenKeyError {
        signer(algorithm, key).unwrap_err()
    }

    fn decoded(part: &str) -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    /// What is signed, and the signature.
    fn halves(token: &str) -> (&str, Vec<u8>) {
        let (message, signature) = token.rsplit_once('.').unwrap();
        (message, URL_SAFE_NO_PAD.decode(signature).unwrap())
    }

    fn claims(token: &str) -> Value {
        decoded(token.split('.').nth(1).unwrap())
    }

    #[test]
    fn a_token_says_who_made_it_for_whom_when_and_what_was_proven() {
        let body = [Bytes::from_static(b"a"), Bytes::new(), Bytes::from_static(b"bc")];
        let token = signer(TokenAlgorithm::Hs256, KEY).unwrap().sign(FACTS, &body, NOW).unwrap();
        assert_eq!(decoded(token.split('.').next().unwrap()), json!({ "typ": "JWT", "alg": "HS256" }));
        let mut said = claims(&token);
        let jti = said.as_object_mut().unwrap().remove("jti").unwrap();
        assert_eq!(jti.as_str().unwrap().len(), 32);
        // FIPS 180-2, appendix B.1: the hash of "abc".
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(
            said,
            json!({
                "iss": "hookward", "aud": "app", "iat": NOW, "exp": NOW + 60, "id": "msg_1", "type": "user.created",
                "provider": "clerk", "route": "clerk", "secret": "current", "timestamp": NOW - 1, "body_sha256": hash,
            })
        );
    }

    #[test]
    fn what_a_delivery_has_not_is_not_in_its_token() {
        let facts = Facts { id: None, event_type: None, timestamp: None, proof: Some("token"), ..FACTS };
        let token = signer(TokenAlgorithm::Hs256, KEY).unwrap().sign(facts, &[], NOW).unwrap();
        let said = claims(&token);
        let mut names: Vec<&str> = said.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["aud", "body_sha256", "exp", "iat", "iss", "jti", "proof", "provider", "route", "secret"]);
        assert_eq!(said["proof"], "token");
        assert_eq!(said["body_sha256"], "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn an_hs256_token_is_signed_with_the_bytes_of_the_key() {
        use ::hmac::{Hmac, KeyInit, Mac};
        let token = signer(TokenAlgorithm::Hs256, KEY).unwrap().sign(FACTS, &[], NOW).unwrap();
        let (message, signature) = halves(&token);
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(KEY).unwrap();
        mac.update(message.as_bytes());
        assert_eq!(mac.finalize().into_bytes().as_slice(), signature);
    }

    #[test]
    fn an_eddsa_token_is_signed_with_the_key_that_openssl_wrote() {
        let token = signer(TokenAlgorithm::EdDsa, PEM.as_bytes()).unwrap().sign(FACTS, &[], NOW).unwrap();
        assert_eq!(decoded(token.split('.').next().unwrap()), json!({ "typ": "JWT", "alg": "EdDSA" }));
        let (message, signature) = halves(&token);
        let public: Vec<u8> =
            (0..64).step_by(2).map(|at| u8::from_str_radix(&PUBLIC[at..at + 2], 16).unwrap()).collect();
        let public = VerifyingKey::from_bytes(public.as_slice().try_into().unwrap()).unwrap();
        let signature = Signature::from_slice(&signature).unwrap();
        assert!(public.verify_strict(message.as_bytes(), &signature).is_ok());
        assert!(public.verify_strict(&message.as_bytes()[1..], &signature).is_err());
    }

    #[test]
    fn no_two_tokens_have_one_name() {
        let signer = signer(TokenAlgorithm::Hs256, KEY).unwrap();
        let names: std::collections::HashSet<String> =
            (0..100).map(|_| claims(&signer.sign(FACTS, &[], NOW).unwrap())["jti"].to_string()).collect();
        assert_eq!(names.len(), 100);
    }

    #[test]
    fn refuses_an_hs256_key_of_less_than_32_bytes() {
        assert!(signer(TokenAlgorithm::Hs256, &[7; 32]).is_ok());
        assert_eq!(refused(TokenAlgorithm::Hs256, &[7; 31]), TokenKeyError::TooShort(31));
        assert_eq!(refused(TokenAlgorithm::Hs256, b""), TokenKeyError::TooShort(0));
    }

    #[test]
    fn refuses_a_pem_text_as_an_hs256_key() {
        let public = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n";
        for key in [PEM, public, &format!("\n {public}")] {
            assert_eq!(refused(TokenAlgorithm::Hs256, key.as_bytes()), TokenKeyError::Pem);
        }
    }

    #[test]
    fn refuses_what_is_no_ed25519_key() {
        let other = include_str!("../tests/data/tls/server.key");
        assert_eq!(refused(TokenAlgorithm::EdDsa, other.as_bytes()), TokenKeyError::NotEd25519);
        let cut = PEM.replace("MC4CAQAw", "MC4C");
        let encrypted = PEM.replace("PRIVATE", "ENCRYPTED PRIVATE");
        for key in ["", "a key of thirty-two bytes, right", &encrypted, "-----BEGIN PRIVATE KEY-----\n"] {
            assert_eq!(refused(TokenAlgorithm::EdDsa, key.as_bytes()), TokenKeyError::NotPkcs8, "{key}");
        }
        assert!(signer(TokenAlgorithm::EdDsa, cut.as_bytes()).is_err());
    }

    #[test]
    fn shows_nothing_of_a_key() {
        for (algorithm, key) in [(TokenAlgorithm::Hs256, KEY), (TokenAlgorithm::EdDsa, PEM.as_bytes())] {
            let shown = format!("{:?}", signer(algorithm, key).unwrap());
            assert!(shown.contains("redacted"), "{shown}");
            assert!(!shown.contains("thirty") && !shown.contains("content: ["), "{shown}");
        }
    }
}
