//! WebSocket upgrades: which requests ask for one, and the tunnel once both sides agreed.
//!
//! Only on paths that no route protects. Must never look into a tunnel, nor begin one without a 101 that names `websocket`.

use http::header::{CONNECTION, HeaderMap, HeaderName, UPGRADE};
use http::{Method, Request, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::sync::watch;

use crate::in_flight::{Ticket, raised};

/// RFC 6455 §4.1: the only upgrade that is forwarded.
pub(crate) fn is_asked_for(request: &Request<Incoming>) -> bool {
    const KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
    const VERSION: HeaderName = HeaderName::from_static("sec-websocket-version");
    let headers = request.headers();
    request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && request.body().is_end_stream()
        && is_named(headers)
        && headers.contains_key(KEY)
        && headers.contains_key(VERSION)
        && headers.get_all(CONNECTION).iter().any(|value| {
            value.as_bytes().split(|byte| *byte == b',').any(|name| name.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
        })
}

pub(crate) fn is_named(headers: &HeaderMap) -> bool {
    let mut upgrades = headers.get_all(UPGRADE).iter();
    upgrades.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && upgrades.next().is_none()
}

/// Copies between client and app until both are done, or a shutdown can wait no longer.
pub(crate) async fn tunnel(
    client: OnUpgrade,
    app: OnUpgrade,
    _tickets: [Ticket; 3],
    mut expired: watch::Receiver<bool>,
) {
    let copy = async {
        if let (Ok(client), Ok(app)) = tokio::join!(client, app) {
            let (mut client, mut app) = (TokioIo::new(client), TokioIo::new(app));
            // Either side may break off; both are closed then, which is all there is to do.
            let _ = tokio::io::copy_bidirectional(&mut client, &mut app).await;
        }
    };
    tokio::select! {
        () = copy => {}
        () = raised(&mut expired) => {}
    }
}
