//! Amazon SNS: the signature is in the JSON, over a fixed list of its members, by a certificate that the JSON names.
//!
//! What is signed is `name\nvalue\n` for each member in alphabetical order. Only `Message` may have a line break: read from
//! the end, every other line then has one meaning, so no text can be split into members in two ways. Amazon signs all topics
//! of all customers with one key, so without the option `topics` anyone with an account can have a message signed. A retry
//! keeps its `Timestamp`, for hours and days, so none is too old. Members that are not signed are the sender's word at best;
//! one that another message type has, or that differs from a signed one in case alone, is refused, since some apps would
//! act on it. Must never ask for a document that is not Amazon's own, nor take the signature for another hash's.
//! Sources: Amazon SNS Developer Guide, "Verifying the signatures of Amazon SNS messages" and "HTTP/HTTPS headers".

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName};

use super::certificate::{Certificate, Hash};
use super::media::Media;
use super::strict_json::{self, Json};
use super::{Coded, Held, Wanted};
use crate::check::signature::flaw::{SchemeFlaw, SchemeProblem};
use crate::check::signature::key::{Key, LabeledKey};
use crate::check::signature::scheme::{SchemeSpec, TimeUnit};
use crate::check::signature::sign::{Delivery, SignProblem, Signed};
use crate::check::signature::stamp::Stamp;
use crate::check::signature::template::single;
use crate::check::signature::verified::{Coverage, Field};
use crate::check::signature::{Failure, Head, Options, Proof, Window, is_presentable};
use crate::reject::Reject;

const TYPE_HEADER: HeaderName = HeaderName::from_static("x-amz-sns-message-type");
/// Headers that repeat a signed member: they are not sent by every sender, but never with another value.
const REPEATED: [(HeaderName, &str); 2] = [
    (HeaderName::from_static("x-amz-sns-message-id"), "MessageId"),
    (HeaderName::from_static("x-amz-sns-topic-arn"), "TopicArn"),
];

/// Most members of a message, of which a dozen are known.
const MAX_MEMBERS: usize = 64;
/// Longest signature, decoded: RSA with 8,192 bits.
const MAX_SIGNATURE: usize = 1024;

/// Every member that means something to an app.
const KNOWN: &[&str] = &[
    "Message",
    "MessageAttributes",
    "MessageId",
    "Signature",
    "SignatureVersion",
    "SigningCertURL",
    "Subject",
    "SubscribeURL",
    "Timestamp",
    "Token",
    "TopicArn",
    "Type",
    "UnsubscribeURL",
];

#[derive(Debug)]
struct Sns {
    /// The operator's own: then nothing is fetched.
    certificate: Option<Certificate>,
    /// Empty: any.
    topics: Vec<Box<str>>,
}

/// The kinds of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Notification,
    Subscription,
    Unsubscription,
}

impl Kind {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "Notification" => Some(Self::Notification),
            "SubscriptionConfirmation" => Some(Self::Subscription),
            "UnsubscribeConfirmation" => Some(Self::Unsubscription),
            _ => None,
        }
    }

    /// The signed members in order, and whether each has to be there.
    fn signed(self) -> &'static [(&'static str, bool)] {
        match self {
            Self::Notification => &[
                ("Message", true),
                ("MessageId", true),
                ("Subject", false),
                ("Timestamp", true),
                ("TopicArn", true),
                ("Type", true),
            ],
            Self::Subscription | Self::Unsubscription => &[
                ("Message", true),
                ("MessageId", true),
                ("SubscribeURL", true),
                ("Timestamp", true),
                ("Token", true),
                ("TopicArn", true),
                ("Type", true),
            ],
        }
    }

    /// Members that only another kind signs.
    fn foreign(self) -> &'static [&'static str] {
        match self {
            Self::Notification => &["SubscribeURL", "Token"],
            Self::Subscription | Self::Unsubscription => &["Subject"],
        }
    }
}

pub(super) fn compile(spec: &SchemeSpec, options: &Options) -> Result<Box<dyn Coded>, Vec<SchemeProblem>> {
    let mut problems = Vec::new();
    let mut unusable = |option, what| {
        problems.push(SchemeProblem { field: "options", flaw: SchemeFlaw::OptionUnusable(option, what) });
    };
    let certificate = options.get("cert_file").and_then(|pem| {
        let certificate = Certificate::from_pem(pem.as_bytes());
        if certificate.is_none() {
            unusable("cert_file", "is not one certificate in PEM with an RSA key of 2,048 bits or more");
        }
        certificate
    });
    let topics: Vec<Box<str>> = options
        .get("topics")
        .into_iter()
        .flat_map(|topics| topics.split(','))
        .map(|topic| topic.trim().into())
        .collect();
    if topics.iter().any(|topic| !topic.starts_with("arn:") || topic.chars().any(|c| c.is_control() || c == ' ')) {
        unusable("topics", "is not a list of topic ARNs with commas between them");
    }
    // An option that seems to keep other topics out, and does not, is worse than none.
    for name in spec.options.keys().filter(|name| !["cert_file", "topics"].contains(&name.as_str())) {
        problems.push(SchemeProblem { field: "options", flaw: SchemeFlaw::UnknownOption(name.as_str().into()) });
    }
    if problems.is_empty() { Ok(Box::new(Sns { certificate, topics })) } else { Err(problems) }
}

impl Coded for Sns {
    fn headers(&self) -> Vec<HeaderName> {
        REPEATED.iter().map(|(name, _)| name.clone()).chain([TYPE_HEADER]).collect()
    }

    fn coverage(&self) -> Coverage {
        Coverage::Partial
    }

    fn signs_id(&self) -> bool {
        true
    }

    fn signs_url(&self) -> bool {
        false
    }

    fn needs_no_secret(&self) -> bool {
        true
    }

    fn present(&self, head: Head<'_>, _window: Window) -> Result<Option<u64>, Failure> {
        let kind = single(head.headers, &TYPE_HEADER)?;
        if kind.to_str().ok().and_then(Kind::parse).is_none() {
            return Err(Failure::at(Reject::HeaderMalformed, &TYPE_HEADER));
        }
        for (name, _) in REPEATED.iter().filter(|(name, _)| head.headers.contains_key(name)) {
            single(head.headers, name)?;
        }
        // What is signed are members, not bytes: as a form, or in UTF-7, what no signature covers could name other ones.
        Media::one_of(head.headers, &[Media::Text, Media::Json]).map(|()| None)
    }

    fn wanted(&self, held: &Held, body: &[u8]) -> Result<Option<Wanted>, Failure> {
        let message = self.message(&held.headers, body).ok_or_else(mismatch)?;
        match &self.certificate {
            Some(_) => Ok(None),
            None => Ok(Some(Wanted::Document(message.certificate.into()))),
        }
    }

    fn verify(&self, held: &Held, body: &[u8], _keys: &[LabeledKey], window: Window) -> Result<Proof, Failure> {
        let message = self.message(&held.headers, body).ok_or_else(mismatch)?;
        let fetched;
        let certificate = if let Some(certificate) = &self.certificate {
            certificate
        } else {
            fetched = held.fetched.as_ref().and_then(|pem| Certificate::from_pem(pem)).ok_or_else(mismatch)?;
            &fetched
        };
        let is_genuine = certificate.is_valid_at(window.now)
            && certificate.verifies(message.hash, message.signed.as_bytes(), &message.signature);
        if !is_genuine {
            return Err(mismatch());
        }
        let field = |text: String| is_presentable(&text).then(|| Field::new(None, Some(text.into()), true)).flatten();
        Ok(Proof {
            // None of the route's: the provider's own.
            key: usize::MAX,
            id: field(message.id),
            event_type: field(message.kind),
            timestamp: Some(message.timestamp),
            coverage: Coverage::Partial,
        })
    }

    fn sign(&self, _key: Option<&Key>, _delivery: &Delivery<'_>) -> Result<Signed, SignProblem> {
        Err(SignProblem::PublicKey)
    }
}

/// A message that could be genuine.
struct Message {
    /// What is signed.
    signed: String,
    signature: Vec<u8>,
    hash: Hash,
    /// Where its certificate is: Amazon's own address.
    certificate: String,
    id: String,
    kind: String,
    /// Unix seconds.
    timestamp: u64,
}

impl Sns {
    /// `None`: nothing that Amazon sends, or nothing for this route.
    fn message(&self, headers: &HeaderMap, body: &[u8]) -> Option<Message> {
        let json = strict_json::read(body)?;
        let Json::Object(members) = &json else { return None };
        let text = |name: &str| json.get(name).and_then(Json::text);
        let kind = text("Type")?;
        if headers.get(TYPE_HEADER)?.as_bytes() != kind.as_bytes() {
            return None;
        }
        for (header, member) in &REPEATED {
            let agrees = |value: &http::HeaderValue| text(member).is_some_and(|text| value == text);
            if !headers.get(header).is_none_or(agrees) {
                return None;
            }
        }
        let names = Kind::parse(kind)?;
        if members.len() > MAX_MEMBERS
            || !json.is_plain_about(KNOWN)
            || members.iter().any(|(name, _)| names.foreign().contains(&&**name))
        {
            return None;
        }
        let topic = text("TopicArn")?;
        if !self.topics.is_empty() && !self.topics.iter().any(|known| **known == *topic) {
            return None;
        }
        let hash = match text("SignatureVersion")? {
            "1" => Hash::Sha1,
            "2" => Hash::Sha256,
            _ => return None,
        };
        let certificate = text("SigningCertURL").filter(|url| is_amazons(url))?.to_owned();
        let signature = STANDARD.decode(text("Signature")?).ok()?;
        let signed = signed(names, &json)?;
        let timestamp = Stamp::parse(text("Timestamp")?.as_bytes(), TimeUnit::Rfc3339)?.seconds();
        let id = text("MessageId")?.to_owned();
        (signature.len() <= MAX_SIGNATURE).then(|| Message {
            signed,
            signature,
            hash,
            certificate,
            id,
            kind: kind.to_owned(),
            timestamp,
        })
    }
}

/// `None`: a member is missing, is no text, or has a line break that only the message may have.
fn signed(kind: Kind, json: &Json) -> Option<String> {
    let mut signed = String::new();
    for (name, has_to_be_there) in kind.signed() {
        let value = match json.get(name) {
            Some(value) => value.text()?,
            None if *has_to_be_there => return None,
            None => continue,
        };
        if *name != "Message" && value.chars().any(char::is_control) {
            return None;
        }
        for part in [name, "\n", value, "\n"] {
            signed.push_str(part);
        }
    }
    Some(signed)
}

/// Whether an address can only lead to a certificate of Amazon SNS.
///
/// A region is told by its form: `sns.s3-us-west-2.amazonaws.com` is a bucket that somebody has named `sns`.
fn is_amazons(url: &str) -> bool {
    let host_and_path = url.strip_prefix("https://sns.").and_then(|rest| rest.split_once('/'));
    let Some((host, path)) = host_and_path else { return false };
    let region = host.strip_suffix(".amazonaws.com").or_else(|| host.strip_suffix(".amazonaws.com.cn"));
    let is_word = |word: &str| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_number = |word: &str| (1..=2).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit());
    let is_region = |region: &str| {
        let words: Vec<_> = region.split('-').collect();
        let Some((number, words)) = words.split_last() else { return false };
        region.len() <= 30 && words.len() > 1 && words.iter().all(|word| is_word(word)) && is_number(number)
    };
    let serial = path.strip_prefix("SimpleNotificationService-").and_then(|rest| rest.strip_suffix(".pem"));
    let is_serial = |serial: &str| {
        (1..=64).contains(&serial.len()) && serial.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    region.is_some_and(is_region) && serial.is_some_and(is_serial)
}

fn mismatch() -> Failure {
    Failure::of(Reject::SignatureMismatch)
}

#[cfg(test)]
#[path = "tests/aws_sns.rs"]
mod tests;
