//! `/livez` and `/readyz`, on a port of their own.
//!
//! Liveness is that this answers; readiness is that connections are accepted. Neither depends on the app, or a broken app
//! would take its gate out of service too. Must never serve anything about a request.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

/// A probe has sent its head by then.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Answers probes for ever.
pub(crate) async fn serve(listener: TcpListener, ready: Arc<AtomicBool>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let ready = Arc::clone(&ready);
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let answer = answer(&request, ready.load(Ordering::Acquire));
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
            // A probe that breaks off has nobody to tell.
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn answer<B>(request: &Request<B>, ready: bool) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/livez") => (StatusCode::OK, "alive\n"),
        (&Method::GET | &Method::HEAD, "/readyz") if ready => (StatusCode::OK, "ready\n"),
        (&Method::GET | &Method::HEAD, "/readyz") => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        _ => (StatusCode::NOT_FOUND, "not found: try /livez or /readyz\n"),
    };
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: Method, path: &str, ready: bool) -> u16 {
        let request = Request::builder().method(method).uri(path).body(()).unwrap();
        answer(&request, ready).status().as_u16()
    }

    #[test]
    fn readiness_fails_while_draining_and_liveness_does_not() {
        assert_eq!(status(Method::GET, "/readyz", true), 200);
        assert_eq!(status(Method::GET, "/readyz", false), 503);
        assert_eq!(status(Method::GET, "/livez", false), 200);
        assert_eq!(status(Method::POST, "/livez", true), 404);
    }
}
