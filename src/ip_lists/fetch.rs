//! One fetch of a list.
//!
//! Must never follow a redirect, nor take any answer but a whole 200, or a 304 that was asked for.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ETAG, IF_NONE_MATCH, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;

use crate::check::address_list::ListFault;
use crate::https::{Bounds, ExchangeError, Https};
use crate::plan::ListSource;

/// The longest published list, GitHub's whole /meta, has about 300 KiB.
const BOUNDS: Bounds = Bounds { time: Duration::from_secs(30), bytes: 4 << 20 };
/// A longer entity tag is not sent back.
const LONGEST_TAG: usize = 256;

/// Why there is no new list.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// A redirect could lead anywhere: `url` names the document itself.
    #[error("the answer was {}, a redirect: name the document's own address", .0.as_u16())]
    Redirect(StatusCode),
    #[error("the answer was {}", .0.as_u16())]
    Status(StatusCode),
    #[error("the list was refused: {0}")]
    List(#[from] ListFault),
}

/// What the server answered.
#[derive(Debug)]
pub(super) enum Fetched {
    /// The content is what it was.
    Unchanged,
    Document {
        bytes: Bytes,
        etag: Option<HeaderValue>,
    },
}

/// `etag` is that of the content that is there (RFC 9110 §13.1.2).
pub(super) async fn fetch(source: &ListSource, etag: Option<HeaderValue>) -> Result<Fetched, FetchError> {
    let https = match &source.ca {
        Some(pem) => Https::trusting_pem(pem)?,
        None => Https::new(),
    };
    let mut request = Request::new(Full::<Bytes>::default());
    *request.uri_mut() = source.url.clone();
    let headers = request.headers_mut();
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("hookward/", env!("CARGO_PKG_VERSION"))));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/plain, */*;q=0.5"));
    let asked = etag.is_some();
    if let Some(etag) = etag {
        headers.insert(IF_NONE_MATCH, etag);
    }
    let answer = https.exchange(request, BOUNDS).await?;
    match answer.status() {
        StatusCode::OK => {
            let etag = answer.headers().get(ETAG).filter(|etag| etag.len() <= LONGEST_TAG).cloned();
            Ok(Fetched::Document { bytes: answer.into_body(), etag })
        }
        StatusCode::NOT_MODIFIED if asked => Ok(Fetched::Unchanged),
        status if status.is_redirection() && status != StatusCode::NOT_MODIFIED => Err(FetchError::Redirect(status)),
        status => Err(FetchError::Status(status)),
    }
}
