//! `hookward healthcheck`: is the hookward of this configuration alive? For images that have no shell and no curl.
//!
//! Must never fail for a configuration that the running process survives: after a bad edit it serves on with the plan in force.
//! So no more is read of the file than where to ask, whatever else is in it.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::config_file;
use super::run::fail;
use crate::config::{Environment as _, System};

/// Where requests arrive unless the configuration says otherwise.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
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
    /// Ask here instead of at the configuration's `admin.health`, or, where there is none, connecting to its listener.
    #[arg(long, value_name = "ADDRESS")]
    address: Option<SocketAddr>,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let place = match args.address.map(Place::Health).map_or_else(|| configured(args), Ok) {
        Ok(place) => place,
        Err(message) => return fail(&message),
    };
    let address = match place {
        Place::Health(address) => address,
        // Whether in TLS or behind a balancer's PROXY header: it listens, and takes connections.
        Place::Listener(address) => {
            return match TcpStream::connect_timeout(&reachable(address), PATIENCE) {
                Ok(_) => ExitCode::SUCCESS,
                Err(error) => fail(&format!("{address}: {error}")),
            };
        }
    };
    let path = if args.ready { "/readyz" } else { "/livez" };
    match ask(reachable(address), path) {
        Ok(200) => ExitCode::SUCCESS,
        Ok(status) => fail(&format!("{address}{path} answered {status}")),
        Err(error) => fail(&format!("{address}{path}: {error}")),
    }
}

/// Where to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// `admin.health`, over HTTP.
    Health(SocketAddr),
    /// A listener: that it takes a connection has to be enough.
    Listener(SocketAddr),
}

fn configured(args: &Args) -> Result<Place, String> {
    let path = config_file::find(args.config.as_deref()).map_err(|error| error.to_string())?;
    let bytes = System.read_named(&path).map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
    Ok(place(&String::from_utf8_lossy(&bytes)))
}

/// Of a file that may be broken anywhere: what can be read of it.
fn place(text: &str) -> Place {
    let (document, _problems) = DeTable::parse_recoverable(text);
    let document = document.get_ref();
    let address = |table: &DeTable<'_>, key: &str| table.get(key)?.get_ref().as_str()?.parse().ok();
    let table = |name: &str| document.get(name).and_then(|value| value.get_ref().as_table());
    if let Some(health) = table("admin").and_then(|admin| address(admin, "health")) {
        return Place::Health(health);
    }
    let server = table("server");
    let listeners = server.and_then(|server| server.get("listener")?.get_ref().as_array());
    let of_listener = || listeners?.iter().find_map(|one| address(DeValue::as_table(one.get_ref())?, "listen"));
    let listen = server.and_then(|server| address(server, "listen")).or_else(of_listener);
    Place::Listener(listen.unwrap_or(LISTEN))
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
    fn asks_where_the_file_says_whatever_else_is_wrong_with_it() {
        let health = Place::Health("127.0.0.1:9090".parse().unwrap());
        let listener = |address: &str| Place::Listener(address.parse().unwrap());
        for (text, expected) in [
            ("[admin]\nhealth = \"127.0.0.1:9090\"", health),
            ("nonsense = 1\n[admin]\nhealth = \"127.0.0.1:9090\"\n[routes.a]\npath = 1", health),
            ("[admin]\nhealth = \"127.0.0.1:9090\"\n[routes.\npath = =", health),
            ("[server\nlisten = 1\n\n[admin]\nhealth = \"127.0.0.1:9090\"\n", health),
            ("[server]\nlisten = \"0.0.0.0:81\"", listener("0.0.0.0:81")),
            ("[server]\nlisten = \"0.0.0.0:81\"\n[admin]\nhealth = \"9090\"", listener("0.0.0.0:81")),
            (
                "[[server.listener]]\nlisten = \"[::]:81\"\n[[server.listener]]\nlisten = \"[::]:82\"",
                listener("[::]:81"),
            ),
            ("[admin]\n", listener("127.0.0.1:8080")),
            ("", listener("127.0.0.1:8080")),
        ] {
            assert_eq!(place(text), expected, "{text}");
        }
    }

    #[test]
    fn a_wildcard_listener_is_asked_on_loopback() {
        assert_eq!(reachable("0.0.0.0:9090".parse().unwrap()), "127.0.0.1:9090".parse().unwrap());
        assert_eq!(reachable("[::]:9090".parse().unwrap()), "[::1]:9090".parse().unwrap());
        assert_eq!(reachable("10.0.0.1:9090".parse().unwrap()), "10.0.0.1:9090".parse().unwrap());
    }
}
