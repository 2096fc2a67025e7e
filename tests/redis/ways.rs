//! The ways to a server: passwords, databases, TLS, a Unix socket; and what its configuration is warned about.

use std::path::Path;
use std::sync::Arc;

use hookward::replay::{Claimed, Down, RedisPlace, RedisStore, RedisTls};
use hookward::secret::Secret;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};

use crate::server::{Server, Setup};
use crate::{LEASE, Log, key, name, owner, place};

const PASSWORD: &str = "hunter2-is-no-password";

fn secret(text: &str) -> Option<Secret> {
    Secret::try_from(text.as_bytes().to_vec()).ok()
}

async fn claim(place: RedisPlace) -> Result<Claimed, Down> {
    RedisStore::new(place).claim(&key(1), owner(), LEASE).await
}

/// The first call waits for the first attempt, and that for its end: a refusal is the call's own answer.
#[tokio::test]
async fn a_password_is_needed_and_never_shown() {
    let (log, _guard) = Log::capture();
    let server = Server::with(&Setup { password: Some(PASSWORD), ..Setup::default() });
    server.ask(&["ACL", "SETUSER", "app", "on", &format!(">{PASSWORD}-of-app"), "~*", "+@all"]);
    let with = |username: Option<&str>, password: Option<&str>| RedisPlace {
        username: username.map(str::to_owned),
        password: password.and_then(secret),
        ..place(&server)
    };
    assert_eq!(claim(with(None, Some(PASSWORD))).await, Ok(Claimed::Mine));
    assert_eq!(claim(with(Some("app"), Some("hunter2-is-no-password-of-app"))).await, Ok(Claimed::Busy));
    assert_eq!(log.text(), "");

    assert_eq!(claim(with(None, None)).await, Err(Down::NoCredentials));
    for (username, password) in [(None, "hunter2-wrong"), (Some("app"), PASSWORD), (Some("nobody"), PASSWORD)] {
        let down = claim(with(username, Some(password))).await.unwrap_err();
        assert_eq!(down, Down::Credentials);
        assert!(!down.to_string().contains("hunter2"), "{down}");
    }
    assert_eq!(log.count("the replay store is down"), 4, "{}", log.text());
    assert!(log.text().contains("it refuses the username or the password"), "{}", log.text());
    assert!(!log.text().contains("hunter2"), "{}", log.text());
}

#[tokio::test]
async fn a_user_may_be_confined_to_the_commands_and_keys_that_are_needed() {
    let (log, _guard) = Log::capture();
    let server = Server::with(&Setup { password: Some(PASSWORD), ..Setup::default() });
    let allowed = ["~hookward-test:*", "+eval", "+set", "+get", "+del", "+pexpire"];
    server.ask(&[&["ACL", "SETUSER", "app", "on", ">app"][..], &allowed[..]].concat());
    let mut place = RedisPlace { username: Some("app".into()), password: secret("app"), ..place(&server) };
    let store = RedisStore::new(place.clone());
    let mine = owner();
    assert_eq!(store.claim(&key(1), mine, LEASE).await, Ok(Claimed::Mine));
    assert_eq!(store.renew(&key(1), mine, LEASE).await, Ok(true));
    assert_eq!(store.release(&key(1), mine).await, Ok(()));
    assert_eq!(log.text(), "");
    place.namespace = "elsewhere".into();
    assert_eq!(claim(place).await, Err(Down::Refused("NOPERM".into())));
    // One that may connect and write, but not run a script: what it is refused is nowhere else to be read.
    server.ask(&["ACL", "SETUSER", "app", "-eval"]);
    for _ in 0..3 {
        assert_eq!(store.claim(&key(2), mine, LEASE).await, Err(Down::Refused("NOPERM".into())));
    }
    assert_eq!(log.count("it refuses the command: NOPERM"), 2, "{}", log.text());
}

#[tokio::test]
async fn a_server_without_a_password_does_not_get_ours_into_the_log() {
    let (log, _guard) = Log::capture();
    let server = Server::start();
    let place = RedisPlace { password: secret(PASSWORD), ..place(&server) };
    assert_eq!(claim(place).await, Err(Down::Credentials));
    assert!(!log.text().contains("hunter2"), "{}", log.text());
}

#[tokio::test]
async fn claims_go_to_the_database_that_is_named() {
    let server = Server::start();
    assert_eq!(claim(RedisPlace { db: 15, ..place(&server) }).await, Ok(Claimed::Mine));
    assert_eq!(server.list(&["KEYS", "*"]), Vec::<String>::new());
    let keyspace = server.text(&["INFO", "keyspace"]);
    assert!(keyspace.contains("db15:keys=1"), "{keyspace}");
    assert_eq!(claim(RedisPlace { db: 16, ..place(&server) }).await, Err(Down::Database));
}

#[tokio::test]
async fn a_unix_socket_is_named_by_its_path() {
    let server = Server::start();
    let parsed = RedisPlace::parse(&format!("unix:{}", server.socket())).unwrap();
    let place = RedisPlace { host: parsed.host, port: 1, ..place(&server) };
    assert_eq!(claim(place).await, Ok(Claimed::Mine));
    assert_eq!(server.list(&["KEYS", "*"]), [name(1)]);
}

fn tls(ca: &str, name: &str) -> Option<RedisTls> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls").join(ca);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    Some(RedisTls { config, name: ServerName::try_from(name.to_owned()).unwrap() })
}

#[tokio::test]
async fn tls_wants_an_authority_that_is_trusted_and_the_right_name() {
    let server = Server::with(&Setup { tls: true, password: Some(PASSWORD), ..Setup::default() });
    let over = |tls| RedisPlace { tls, password: secret(PASSWORD), ..place(&server) };
    assert_eq!(claim(over(tls("ca.pem", "app.internal"))).await, Ok(Claimed::Mine));

    let down = claim(over(tls("ca.pem", "other.internal"))).await.unwrap_err();
    let wrong_name = |error: &CertificateError| matches!(error, CertificateError::NotValidForNameContext { .. });
    assert!(matches!(&down, Down::Tls(rustls::Error::InvalidCertificate(error)) if wrong_name(error)), "{down:?}");
    let down = claim(over(tls("other-ca.pem", "app.internal"))).await.unwrap_err();
    let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
    assert!(matches!(&down, Down::Tls(rustls::Error::InvalidCertificate(_))), "{down:?}");
    assert!(down == Down::Tls(unknown) || down.to_string().contains("BadSignature"), "{down:?}");

    let down = claim(over(None)).await.unwrap_err();
    assert!(matches!(down, Down::Broken | Down::Answer | Down::Timeout), "plain text is not answered: {down:?}");
    let plain = Server::start();
    let down = claim(RedisPlace { tls: tls("ca.pem", "localhost"), ..place(&plain) }).await.unwrap_err();
    assert!(matches!(down, Down::Tls(_) | Down::Connect(_) | Down::Timeout), "{down:?}");
}

#[tokio::test]
async fn an_eviction_policy_that_may_drop_claims_is_warned_about_once() {
    const WARNING: &str = "maxmemory-policy is not noeviction";
    let (log, _guard) = Log::capture();
    let mut server = Server::with(&Setup { more: &["--maxmemory-policy", "allkeys-lru"], ..Setup::default() });
    let store = RedisStore::new(place(&server));
    assert_eq!(store.claim(&key(1), owner(), LEASE).await, Ok(Claimed::Mine));
    assert_eq!(log.count(WARNING), 1, "{}", log.text());
    assert!(log.text().contains("allkeys-lru"), "{}", log.text());
    server.restart();
    crate::back(&store).await;
    assert_eq!(log.count(WARNING), 1, "{}", log.text());

    let (log, _guard) = Log::capture();
    let server = Server::start();
    assert_eq!(claim(place(&server)).await, Ok(Claimed::Mine));
    assert_eq!(log.text(), "");
}

#[tokio::test]
async fn a_server_whose_memory_is_full_is_down_for_claims_and_keeps_its_connection() {
    let (log, _guard) = Log::capture();
    let server = Server::start();
    let store = RedisStore::new(place(&server));
    let mine = owner();
    assert_eq!(store.claim(&key(1), mine, LEASE).await, Ok(Claimed::Mine));
    server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    for _ in 0..3 {
        assert_eq!(store.claim(&key(2), owner(), LEASE).await, Err(Down::Full));
    }
    assert_eq!(log.count("its memory is full"), 1, "{}", log.text());
    assert_eq!(store.renew(&key(1), mine, LEASE).await, Ok(true));
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(store.claim(&key(2), owner(), LEASE).await, Ok(Claimed::Mine));
    let links = server.text(&["CLIENT", "LIST"]);
    assert_eq!(links.lines().filter(|line| line.contains("addr=127.0.0.1")).count(), 1);
}
