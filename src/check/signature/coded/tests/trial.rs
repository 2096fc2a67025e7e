//! A scheme, its keys and a clock: what the tests of the coded schemes ask about requests, by the public way alone.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::check::signature::{
    Delivery, Head, LabeledKey, Options, Scheme, SignProblem, Verified, Window, content_digest, present, sign, verify,
    wanted,
};
use crate::reject::Reject;

/// The time of every trial, in unix seconds, unless it says otherwise.
pub(super) const NOW: u64 = 1_754_300_000;

/// A compiled scheme with keys.
pub(super) struct Trial {
    scheme: Scheme,
    keys: Vec<LabeledKey>,
    pub(super) now: u64,
    pub(super) tolerance: u64,
    /// What is to be had when the scheme asks for a document.
    pub(super) document: Option<Bytes>,
}

impl Trial {
    pub(super) fn new(spec: &str, secrets: &[&str]) -> Self {
        Self::with_options(spec, secrets, &[])
    }

    pub(super) fn with_options(spec: &str, secrets: &[&str], options: &[(&str, &str)]) -> Self {
        let options: Options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let scheme = Scheme::compile("trial", &toml::from_str(spec).unwrap(), &options).unwrap();
        let key =
            |secret: &&str| LabeledKey { label: Arc::from(*secret), key: scheme.key(secret.as_bytes()).unwrap().0 };
        let keys = secrets.iter().map(key).collect();
        Self { tolerance: scheme.default_tolerance().unwrap_or(300), scheme, keys, now: NOW, document: None }
    }

    /// The same at another time.
    pub(super) fn at(self, now: u64) -> Self {
        Self { now, ..self }
    }

    /// The same with another tolerance, in seconds.
    pub(super) fn within(self, tolerance: u64) -> Self {
        Self { tolerance, ..self }
    }

    pub(super) fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    pub(super) fn verify(&self, request: &Request) -> Result<Verified, Reject> {
        let head = Head { method: &request.method, url: Some(&request.url), headers: &request.headers };
        let window = Window { now: self.now, tolerance: self.tolerance };
        let mut presented = present(&self.scheme, head, window).map_err(|failure| failure.reject)?;
        // Two chunks: the body is one text all the same.
        let (first, second) = request.body.split_at(request.body.len() / 2);
        let body = [Bytes::copy_from_slice(first), Bytes::copy_from_slice(second)];
        if wanted(&self.scheme, &presented, &body).map_err(|failure| failure.reject)?.is_some()
            && let Some(document) = &self.document
        {
            presented.supply(document.clone());
        }
        verify(&self.scheme, &self.keys, &presented, &body, window).map_err(|failure| failure.reject)
    }

    /// By what a genuine request is told from others where no id does it.
    #[track_caller]
    pub(super) fn content(&self, request: &Request) -> Option<[u8; 32]> {
        assert_eq!(self.refusal(request), None, "{request:?}");
        let head = Head { method: &request.method, url: Some(&request.url), headers: &request.headers };
        let presented = present(&self.scheme, head, Window { now: self.now, tolerance: self.tolerance }).unwrap();
        content_digest(&self.scheme, &presented, &[Bytes::copy_from_slice(&request.body)])
    }

    /// Whether these are one delivery to a route that tells them by content: each is genuine.
    #[track_caller]
    pub(super) fn assert_one(&self, requests: &[Request]) {
        let all: Vec<_> = requests.iter().map(|request| self.content(request).unwrap()).collect();
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{requests:?}");
    }

    /// Whether no two of these are.
    #[track_caller]
    pub(super) fn assert_all_differ(&self, requests: &[Request]) {
        let all: std::collections::BTreeSet<_> =
            requests.iter().map(|request| self.content(request).unwrap()).collect();
        assert_eq!(all.len(), requests.len(), "{requests:?}");
    }

    /// `None`: accepted.
    pub(super) fn refusal(&self, request: &Request) -> Option<Reject> {
        self.verify(request).err()
    }

    /// Signs with the first key at the trial's time.
    pub(super) fn sign(&self, id: &str, request: &Request) -> Result<Request, SignProblem> {
        let delivery = Delivery {
            id,
            timestamp: self.now,
            method: &request.method,
            url: Some(&request.url),
            headers: &request.headers,
            body: &request.body,
        };
        let signed = sign(&self.scheme, self.keys.first().map(|key| &key.key), &delivery)?;
        let mut request = request.clone();
        request.headers.extend(signed.headers.into_iter().map(|(name, value)| (Some(name), value)));
        request.body = signed.body.unwrap_or(request.body);
        request.url = signed.url.unwrap_or(request.url);
        Ok(request)
    }
}

/// A request as it arrives.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn post(url: &str, media: &str, body: impl Into<Vec<u8>>) -> Self {
        let request = Self { method: Method::POST, url: url.to_owned(), headers: HeaderMap::new(), body: body.into() };
        if media.is_empty() { request } else { request.with("content-type", media) }
    }

    pub(super) fn get(url: &str) -> Self {
        Self { method: Method::GET, ..Self::post(url, "", "") }
    }

    /// With this header instead of any of its name.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(HeaderName::try_from(name).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        self
    }

    /// With one more header.
    pub(super) fn and(mut self, name: &str, value: &str) -> Self {
        self.headers.append(HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    pub(super) fn to(mut self, url: &str) -> Self {
        url.clone_into(&mut self.url);
        self
    }

    pub(super) fn holding(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap().to_str().unwrap()
    }

    /// This request with every single byte of the body changed, added and removed.
    pub(super) fn body_tamperings(&self) -> impl Iterator<Item = Self> + '_ {
        tamperings(&self.body).map(|body| self.clone().holding(body))
    }

    /// This request with every single byte of a header changed, added and removed.
    pub(super) fn header_tamperings<'r>(&'r self, name: &'r str) -> impl Iterator<Item = Self> + 'r {
        tamperings(self.headers.get(name).unwrap().as_bytes()).filter_map(move |value| {
            let mut request = self.clone();
            request.headers.insert(HeaderName::try_from(name).unwrap(), HeaderValue::from_bytes(&value).ok()?);
            Some(request)
        })
    }
}

/// Each position: another bit, another case, a digit more, the byte twice, the byte gone.
pub(super) fn tamperings(text: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..text.len()).flat_map(move |index| {
        let (before, after) = text.split_at(index);
        let (byte, after) = after.split_first().unwrap();
        let (byte, with) = (*byte, |bytes: &[u8]| [before, bytes, after].concat());
        [with(&[byte ^ 1]), with(&[byte ^ 0x20]), with(b"9"), with(&[byte, byte]), with(&[])]
            .into_iter()
            .filter(move |tampered| tampered != text)
    })
}
