//! `[server]`: where requests arrive and where they go, with TLS and PROXY protocol on either side.
//!
//! Must never let two of our sockets be in one place, nor start a listener whose certificate and key do not belong together.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::uri::Authority;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::compile::Context;
use super::findings::Spot;
use super::raw::{Table, Text};
use crate::check::ip::IpSet;
use crate::plan::{Listener, Transport, Upstream, UpstreamTls};

/// A file of certificates or a key that is longer than this is none, bytes.
const LONGEST: usize = 1 << 20;
/// Keys of `[server]` that `[[server.listener]]` has for itself.
const OF_LISTENER: &[&str] = &["listen", "tls", "proxy_protocol", "proxy_protocol_from"];

impl Context<'_, '_> {
    /// Never empty.
    pub(super) fn listeners(&mut self, server: &Table) -> Option<Vec<Listener>> {
        let Some(tables) = server.tables("listener") else {
            return (!server.given("listener")).then(|| self.listener(server)).flatten().map(|only| vec![only]);
        };
        for name in OF_LISTENER.iter().filter(|name| server.given(name)) {
            let hint = "move it into the entries of [[server.listener]]";
            self.findings.error(&server.spot_of(name), "cannot be there beside [[server.listener]]", hint);
        }
        if tables.is_empty() {
            let hint = "add [[server.listener]] with listen, or remove the empty list";
            self.findings.error(&server.spot_of("listener"), "the list is empty: nothing would listen", hint);
            return None;
        }
        let listeners: Vec<Option<Listener>> = tables.iter().map(|table| self.listener(table)).collect();
        for (index, table) in tables.iter().enumerate() {
            let Some(Some(this)) = listeners.get(index) else { continue };
            let mut earlier = listeners.iter().take(index).flatten();
            if earlier.any(|other| collide(this.address, other.address)) {
                let what = format!("{} is the address of another listener", this.address);
                self.findings.error(&table.spot_of("listen"), what, "give it another port");
            }
        }
        listeners.into_iter().collect()
    }

    fn listener(&mut self, table: &Table) -> Option<Listener> {
        let address = self.address(table, "listen");
        let proxies = self.proxies(table);
        let tls = match table.table("tls") {
            Some(tls) => Some(self.identity(tls)?),
            None if table.given("tls") => return None,
            None => None,
        };
        Some(Listener { address: address?, proxies: proxies.ok()?, tls })
    }

    /// `proxy_protocol` and `proxy_protocol_from`.
    ///
    /// # Errors
    /// A problem was reported.
    fn proxies(&mut self, table: &Table) -> Result<Option<IpSet>, ()> {
        let networks = self.networks(table, "proxy_protocol_from");
        let spot = table.spot_of("proxy_protocol_from");
        if table.bool("proxy_protocol") != Some(true) {
            if !networks.is_empty() {
                let hint = "write proxy_protocol = true, or remove it";
                self.findings.error(&spot, "nobody may speak the PROXY protocol while proxy_protocol is false", hint);
            }
            return Ok(None);
        }
        if networks.is_empty() {
            if !self.findings.refused_inside(&spot) {
                let hint = "write the addresses of the load balancers that send the PROXY header";
                self.findings.error(&spot, "is empty: the PROXY protocol would be taken from nobody", hint);
            }
            return Err(());
        }
        for (network, spot) in networks.iter().filter(|(network, _)| network.prefix_len() == 0) {
            let what = format!("{network} lets everyone claim any address");
            self.findings.warn(spot, what, "write the load balancers' own addresses");
        }
        Ok(Some(networks.into_iter().map(|(network, _)| network).collect()))
    }

    /// Certificate and key of a listener.
    fn identity(&mut self, table: &Table) -> Option<Arc<ServerConfig>> {
        let (cert, key) = (table.text("cert"), table.text("key"));
        let chain = cert.and_then(|cert| Some((cert.1, self.certificates(cert)?)));
        let key = key.and_then(|key| Some((key.1, self.private_key(key)?)));
        let ((_, chain), (spot, key)) = (chain?, key?);
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(rustls::DEFAULT_VERSIONS)
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
        match config {
            Ok(mut config) => {
                config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
                Some(Arc::new(config))
            }
            Err(error) => {
                let what = format!("key and certificate do not go together: {error}");
                self.findings.error(spot, what, "name the key that the certificate was made for");
                None
            }
        }
    }

    fn certificates(&mut self, (path, spot): Text<'_>) -> Option<Vec<CertificateDer<'static>>> {
        let bytes = self.pem((path, spot))?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        if chain.is_none() {
            let hint = "name a PEM file: the server's own certificate first, then those that signed it";
            self.findings.error(spot, format!("{path} holds no certificate"), hint);
        }
        chain
    }

    fn private_key(&mut self, (path, spot): Text<'_>) -> Option<PrivateKeyDer<'static>> {
        let bytes = zeroize::Zeroizing::new(self.pem((path, spot))?);
        let key = PrivateKeyDer::from_pem_slice(&bytes).ok();
        if key.is_none() {
            let hint = "name a PEM file with an unencrypted key (PKCS #8, PKCS #1 or SEC 1)";
            self.findings.error(spot, format!("{path} holds no private key"), hint);
        }
        key
    }

    pub(super) fn pem(&mut self, (path, spot): Text<'_>) -> Option<Vec<u8>> {
        match self.environment.read(Path::new(path)) {
            Ok(bytes) if bytes.len() <= LONGEST => {
                self.files.push(PathBuf::from(path));
                Some(bytes)
            }
            Ok(_) => {
                self.findings.error(spot, format!("{path} is too long for a PEM file"), "name the right file");
                None
            }
            Err(error) => {
                let hint = "mount or create the file, readable by hookward's user";
                self.findings.error(spot, format!("{path} cannot be read: {error}"), hint);
                None
            }
        }
    }

    pub(super) fn address(&mut self, table: &Table, key: &str) -> Option<SocketAddr> {
        let (text, spot) = table.text(key)?;
        if let Ok(address) = text.parse() {
            return Some(address);
        }
        let port = text.rsplit(':').next().filter(|port| port.parse::<u16>().is_ok() && !port.starts_with('+'));
        let hint = match (port, text.strip_prefix("localhost:")) {
            (Some(port), Some(_)) => format!("write \"127.0.0.1:{port}\""),
            (Some(port), None) if text == port || text.starts_with(':') => format!("write \"0.0.0.0:{port}\""),
            _ => "write an address and a port: \"0.0.0.0:8080\" or \"[::]:8080\"".to_owned(),
        };
        self.findings.error(spot, format!("{text:?} is not an address with a port"), hint);
        None
    }

    /// Where recent decisions are shown: only to this machine, unless the operator says otherwise.
    pub(super) fn inspector(&mut self, admin: &Table) -> Option<SocketAddr> {
        let address = self.address(admin, "inspector")?;
        if address.ip().to_canonical().is_loopback() {
            return Some(address);
        }
        let spot = admin.spot_of("inspector");
        if admin.bool("insecure_inspector_public") == Some(true) {
            let what = format!("whoever can connect to {address} sees ids, types and addresses of recent webhooks");
            self.findings.warn(
                &spot,
                what,
                "write \"127.0.0.1:9091\", and reach it with `kubectl port-forward` or ssh -L",
            );
            return Some(address);
        }
        let hint = "write \"127.0.0.1:9091\", and reach it with `kubectl port-forward` or ssh -L; insecure_inspector_public = true allows this";
        self.findings.error(
            &spot,
            format!("{address} is not a loopback address: others could read recent webhooks"),
            hint,
        );
        None
    }

    pub(super) fn upstream(&mut self, server: &Table) -> Option<Upstream> {
        let (text, spot) = server.text("upstream")?;
        let form = "write http://host:port, https://host:port or unix:/path";
        let tls = server.given("upstream_tls").then(|| server.spot_of("upstream_tls"));
        if let Some(spot) = tls.filter(|_| !text.starts_with("https://")) {
            self.findings.error(&spot, "has no effect: server.upstream is not https://", "remove it");
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return self.unix(path, spot);
        }
        let (rest, port) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (rest, 80_u16),
            (None, Some(rest)) => (rest, 443),
            (None, None) => {
                self.findings.error(spot, "the app's address must start with http://, https:// or unix:", form);
                return None;
            }
        };
        if rest.contains('@') {
            self.findings.error(spot, "a user name or password has no place here", form);
            return None;
        }
        let host = rest.strip_suffix('/').unwrap_or(rest);
        if host.contains(['/', '?', '#']) {
            self.findings.error(spot, "only scheme, host and port may be here: paths are forwarded as they are", form);
            return None;
        }
        let parsed = host.parse::<Authority>().ok().filter(|authority| !authority.host().is_empty());
        let authority = parsed.and_then(|authority| match authority.port() {
            None if host.ends_with(':') => None,
            None => format!("{authority}:{port}").parse().ok(),
            // `parse` alone would take a leading `+`.
            Some(port) if !port.as_str().bytes().all(|byte| byte.is_ascii_digit()) => None,
            Some(port) => (port.as_str().parse::<u16>().ok()? != 0).then_some(authority),
        });
        let Some(authority) = authority else {
            self.findings.error(spot, format!("{host:?} is not a host with a port"), form);
            return None;
        };
        let transport = if text.starts_with("https://") {
            Transport::Tls(self.upstream_tls(server, &authority, spot)?)
        } else {
            Transport::Tcp
        };
        Some(Upstream { authority, transport })
    }

    fn unix(&mut self, path: &str, spot: &Spot) -> Option<Upstream> {
        // `sun_path` has 108 bytes, the last of which is a zero (unix(7)).
        if !path.starts_with('/') || path.starts_with("//") || path.len() > 107 || path.contains('\0') {
            let hint = "write unix: and an absolute path of at most 107 bytes: \"unix:/run/app.sock\"";
            self.findings.error(spot, "is not the path of a Unix socket", hint);
            return None;
        }
        Some(Upstream { authority: Authority::from_static("localhost"), transport: Transport::Unix(path.into()) })
    }

    fn upstream_tls(&mut self, server: &Table, authority: &Authority, spot: &Spot) -> Option<UpstreamTls> {
        let table = server.table("upstream_tls");
        let (mut config, ca) = self.trusting(table.and_then(|table| table.text("ca")), "the app's")?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let (name, spot) = match table.and_then(|table| table.text("server_name")) {
            Some((name, spot)) => (name.to_owned(), spot),
            None => (host, spot),
        };
        let Ok(name) = ServerName::try_from(name.clone()) else {
            let hint = "write the name in the app's certificate: server_name = \"app.internal\"";
            self.findings.error(spot, format!("{name:?} is not a name that a certificate can have"), hint);
            return None;
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Some(UpstreamTls { config: Arc::new(config), name, ca: ca.into() })
    }

    /// A client's TLS that trusts the authorities in a file, or the public ones; and what the file holds.
    pub(super) fn trusting(&mut self, ca: Option<Text<'_>>, whose: &str) -> Option<(ClientConfig, Vec<u8>)> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let mut pem = Vec::new();
        if let Some((path, spot)) = ca {
            pem = self.pem((path, spot))?;
            roots = RootCertStore::empty();
            let (added, _) = roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).flatten());
            if added == 0 {
                let hint = format!("name a PEM file with the authority that signed {whose} certificate");
                self.findings.error(spot, format!("{path} holds no usable certificate"), hint);
                return None;
            }
        }
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(rustls::DEFAULT_VERSIONS)
            .map(|builder| builder.with_root_certificates(roots).with_no_client_auth());
        Some((config.ok()?, pem))
    }

    /// Two of our own sockets in the same place, or a gate in front of itself.
    pub(super) fn overlaps(
        &mut self,
        raw: &Table,
        listeners: &[Listener],
        upstream: Option<&Upstream>,
        own: [(&str, Option<SocketAddr>); 2],
    ) {
        let (Some(server), Some(admin)) = (raw.table("server"), raw.table("admin")) else { return };
        let listener = if server.given("listener") { "a server.listener" } else { "server.listen" };
        let listen = || listeners.iter().map(|listener| listener.address);
        let own = own.into_iter().filter_map(|(key, address)| Some((key, address?)));
        let mut taken = Vec::new();
        for (key, address) in own.clone() {
            let other = if listen().any(|listen| reaches(address.ip(), address.port(), listen)) {
                Some(listener.to_owned())
            } else {
                taken.iter().find(|(_, taken)| collide(*taken, address)).map(|(key, _)| format!("admin.{key}"))
            };
            if let Some(other) = other {
                let what = format!("is the same address as {other}");
                self.findings.error(&admin.spot_of(key), what, "give it another port");
            }
            taken.push((key, address));
        }
        let Some(upstream) = upstream.filter(|upstream| !matches!(upstream.transport, Transport::Unix(_))) else {
            return;
        };
        let authority = &upstream.authority;
        let name = authority.host().trim_start_matches('[').trim_end_matches(']');
        let host: Option<IpAddr> =
            if name.eq_ignore_ascii_case("localhost") { Some(IpAddr::from([127, 0, 0, 1])) } else { name.parse().ok() };
        let (Some(host), Some(port)) = (host, authority.port_u16()) else { return };
        let own = own.map(|(key, address)| (format!("admin.{key}"), address));
        for (key, address) in listen().map(|address| (listener.to_owned(), address)).chain(own) {
            if reaches(host, port, address) {
                let hint = "write the app's own port";
                self.findings.error(&server.spot_of("upstream"), format!("leads back to {key}"), hint);
            }
        }
    }
}

/// Whether a connection to `host:port` arrives at the socket bound to `address`. Port 0 is one nobody knows yet.
fn reaches(host: IpAddr, port: u16, address: SocketAddr) -> bool {
    let same_machine = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
    let same = host == address.ip()
        || (same_machine(host) && same_machine(address.ip()))
        || address.ip().is_unspecified() && same_machine(host);
    port != 0 && port == address.port() && same
}

/// Whether two sockets cannot both be bound. `[::]` takes IPv4 too.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let covers =
        |wide: SocketAddr, narrow: SocketAddr| wide.ip().is_unspecified() && (wide.is_ipv6() || narrow.is_ipv4());
    let same = one.ip() == other.ip() || covers(one, other) || covers(other, one);
    one.port() != 0 && one.port() == other.port() && same
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{System, compile};

    fn problems(server: &str) -> Vec<String> {
        let tls = format!("{}/tests/data/tls", env!("CARGO_MANIFEST_DIR"));
        let route =
            "[routes.a]\npath = \"/a\"\nprovider = \"github\"\nsecrets = [{ insecure_value = \"mysecretmysecret\" }]";
        let text = format!("{}\n{route}", server.replace("TLS", &tls));
        match compile(&text, Path::new("a.toml"), &System) {
            Ok(_) => Vec::new(),
            Err(report) => report
                .problems
                .iter()
                .filter(|problem| problem.severity == crate::config::Severity::Error)
                .map(|problem| format!("{}: {}", problem.key, problem.what))
                .collect(),
        }
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        assert_eq!(problems("[server.tls]\ncert = \"TLS/server.pem\"\nkey = \"TLS/server.key\""), [""; 0]);
        let found = problems("[server.tls]\ncert = \"TLS/server.pem\"\nkey = \"TLS/renewed.key\"");
        assert!(found[0].starts_with("server.tls.key: key and certificate do not go together"), "{found:?}");
        let found = problems("[server.tls]\ncert = \"TLS/server.key\"\nkey = \"TLS/server.pem\"");
        assert!(found[0].contains("holds no certificate") && found[1].contains("holds no private key"), "{found:?}");
    }

    #[test]
    fn two_sockets_cannot_be_in_one_place() {
        let two = |one: &str, other: &str| {
            problems(&format!("[[server.listener]]\nlisten = {one:?}\n[[server.listener]]\nlisten = {other:?}"))
        };
        for (one, other) in [
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("127.0.0.1:80", "0.0.0.0:80"),
            ("[::]:80", "[::1]:80"),
            ("0.0.0.0:80", "[::]:80"),
            ("[::]:80", "127.0.0.1:80"),
        ] {
            let found = two(one, other);
            assert_eq!(found, [format!("server.listener[1].listen: {other} is the address of another listener")]);
        }
        for (one, other) in
            [("127.0.0.1:80", "127.0.0.2:80"), ("127.0.0.1:80", "127.0.0.1:81"), ("127.0.0.1:0", "127.0.0.1:0")]
        {
            assert_eq!(two(one, other), [""; 0]);
        }
        let found = problems(
            "[admin]\nhealth = \"127.0.0.1:81\"\n[[server.listener]]\nlisten = \"127.0.0.1:80\"\n[[server.listener]]\nlisten = \"0.0.0.0:81\"",
        );
        assert_eq!(found, ["admin.health: is the same address as a server.listener"]);
        let found =
            problems("[server]\nupstream = \"http://localhost:81\"\n[[server.listener]]\nlisten = \"127.0.0.1:81\"");
        assert_eq!(found, ["server.upstream: leads back to a server.listener"]);
    }
}
