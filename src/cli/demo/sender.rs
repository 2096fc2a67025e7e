//! The sender's side of the demo: signs as Svix does, and speaks HTTP over a plain socket.
//!
//! Signing is written here from the specification, not shared with the verifier, so that the two cannot be wrong together.

use std::fmt::Write as _;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A signer with its own secret.
#[derive(Debug)]
pub(super) struct Sender {
    key: Vec<u8>,
}

/// One request, as bytes and as a command.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) target: &'static str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}

/// What the sender got back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    body: String,
}

impl Sender {
    pub(super) fn with_fresh_secret() -> Self {
        // Good for a demo's lifetime: the standard library's hash keys are random for each value.
        let key = (0..4_u8).flat_map(|part| RandomState::new().hash_one(part).to_be_bytes()).collect();
        Self { key }
    }

    /// The secret as Clerk shows it.
    pub(super) fn secret(&self) -> String {
        format!("whsec_{}", STANDARD.encode(&self.key))
    }

    /// The three headers of `{id}.{timestamp}.{body}` (docs.svix.com, "Verifying webhooks manually").
    pub(super) fn sign(&self, id: &str, timestamp: u64, body: &str) -> Vec<(&'static str, String)> {
        let signature = Hmac::<Sha256>::new_from_slice(&self.key)
            .map(|mac| mac.chain_update(format!("{id}.{timestamp}.{body}")).finalize().into_bytes())
            .map(|mac| STANDARD.encode(mac))
            .unwrap_or_default();
        vec![
            ("svix-id", id.to_owned()),
            ("svix-timestamp", timestamp.to_string()),
            ("svix-signature", format!("v1,{signature}")),
        ]
    }
}

impl Request {
    // Writing into a `String` cannot fail.
    fn to_bytes(&self, address: SocketAddr) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if !self.body.is_empty() {
            let _ = write!(head, "content-type: application/json\r\ncontent-length: {}\r\n", self.body.len());
        }
        head.push_str("\r\n");
        head.push_str(&self.body);
        head.into_bytes()
    }

    /// The same as a curl command. Bodies and headers of the demo hold no single quote.
    pub(super) fn as_curl(&self, address: SocketAddr) -> String {
        let mut line = format!("curl -i --path-as-is -X {} 'http://{address}{}'", self.method, self.target);
        for (name, value) in &self.headers {
            let _ = write!(line, " -H '{name}: {value}'");
        }
        if !self.body.is_empty() {
            let _ = write!(line, " -H 'content-type: application/json' --data-binary '{}'", self.body);
        }
        line
    }
}

impl Answer {
    /// The `code` of problem+json, or nothing.
    pub(super) fn code(&self) -> String {
        serde_json::from_str::<serde_json::Value>(&self.body)
            .ok()
            .and_then(|body| body.get("code")?.as_str().map(str::to_owned))
            .unwrap_or_default()
    }
}

/// Sends one request on a connection of its own.
pub(super) async fn exchange(address: SocketAddr, request: &Request) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&request.to_bytes(address)).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Ok(Answer { status, body: body.to_owned() })
}
