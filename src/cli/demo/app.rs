//! The sample app: answers everything with 200 and counts what reached it.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// What reached the app so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Requests of any kind.
    pub(super) requests: u32,
    /// Of those, with a `verified-event` header, in any spelling.
    pub(super) verified: u32,
}

/// The running app.
#[derive(Debug, Clone)]
pub(super) struct App(Arc<Mutex<Count>>);

impl App {
    pub(super) fn start(listener: TcpListener) -> Self {
        let app = Self(Arc::default());
        let serving = app.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let app = serving.clone();
                tokio::spawn(async move {
                    let service = service_fn(|request: Request<Incoming>| {
                        app.count(&request);
                        async {
                            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"hello from the app\n"))))
                        }
                    });
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        app
    }

    pub(super) fn seen(&self) -> Count {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, request: &Request<Incoming>) {
        let verified =
            request.headers().keys().any(|name| name.as_str().replace('_', "-").starts_with("verified-event"));
        let mut count = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        count.requests = count.requests.saturating_add(1);
        count.verified = count.verified.saturating_add(u32::from(verified));
    }
}
