//! `hookward healthcheck`: is the hookward of this configuration alive? For images that have no shell and no curl.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::config_file;
use super::run::fail;
use crate::config::{self, System};
use crate::ip_lists::WithLists;

/// For connecting, and again for the answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Options of `healthcheck`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration of the process to ask; else as for `run`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Ask for readiness (`/readyz`) instead of liveness (`/livez`).
    #[arg(long)]
    ready: bool,
    /// Ask here instead of at the configuration's `admin.health`.
    #[arg(long, value_name = "ADDRESS")]
    address: Option<SocketAddr>,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let address = match args.address {
        Some(address) => address,
        None => match configured(args) {
            Ok(address) => address,
            Err(message) => return fail(&message),
        },
    };
    let path = if args.ready { "/readyz" } else { "/livez" };
    match ask(reachable(address), path) {
        Ok(200) => ExitCode::SUCCESS,
        Ok(status) => fail(&format!("{address}{path} answered {status}")),
        Err(error) => fail(&format!("{address}{path}: {error}")),
    }
}

fn configured(args: &Args) -> Result<SocketAddr, String> {
    let path = config_file::find(args.config.as_deref()).map_err(|error| error.to_string())?;
    // What a reload refuses is not in force, and no reason to call the process dead.
    if let Some(address) = config::health_alone(&path, &System) {
        return Ok(address);
    }
    let loaded = config::load(&path, &WithLists::new(System, Arc::default())).map_err(|report| report.to_string())?;
    loaded.plan.health.ok_or_else(|| format!("{}: admin.health is not set, so there is nothing to ask", path.display()))
}

/// Where a listener on any address can be reached from inside.
pub(super) fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

fn ask(address: SocketAddr, path: &str) -> std::io::Result<u16> {
    status_of(address, &format!("GET {path} HTTP/1.1\r\n"))
}

/// Sends a request without a body, given without `Host`, and reads the status of its answer.
pub(super) fn status_of(address: SocketAddr, head: &str) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "{head}host: {address}\r\nconnection: close\r\n\r\n")?;
    let mut head = [0_u8; 12];
    stream.read_exact(&mut head)?;
    std::str::from_utf8(&head)
        .ok()
        .and_then(|head| head.strip_prefix("HTTP/1.1 "))
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| std::io::Error::new(std::io::ErrorKind::InvalidData, "not an HTTP answer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_listener_is_asked_on_loopback() {
        assert_eq!(reachable("0.0.0.0:9090".parse().unwrap()), "127.0.0.1:9090".parse().unwrap());
        assert_eq!(reachable("[::]:9090".parse().unwrap()), "[::1]:9090".parse().unwrap());
        assert_eq!(reachable("10.0.0.1:9090".parse().unwrap()), "10.0.0.1:9090".parse().unwrap());
    }
}
