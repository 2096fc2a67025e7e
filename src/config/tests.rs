//! Whole configurations: golden reports for `tests/config/*.toml`, and what a compiled plan holds.
//!
//! A fixture says in its first comments what is set: `# env NAME=value`, `# file /path=content` (`\n`, `\r`). The expected
//! text stands beside it; `HOOKWARD_BLESS=1 cargo test` writes it anew, to be read before it is committed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Method;

use super::*;
use crate::check::target::{Framework, Verdict};
use crate::plan::{Limits, LogFormat, ReplayMode, Unmatched};

/// An environment that a test wrote down.
#[derive(Debug, Default)]
pub(crate) struct Fake {
    variables: BTreeMap<String, String>,
    files: BTreeMap<PathBuf, String>,
}

impl Fake {
    pub(crate) fn of(text: &str) -> Self {
        let mut fake = Self::default();
        for line in text.lines() {
            let unescape = |value: &str| value.replace("\\r", "\r").replace("\\n", "\n");
            if let Some((name, value)) = line.strip_prefix("# env ").and_then(|line| line.split_once('=')) {
                fake.variables.insert(name.to_owned(), unescape(value));
            }
            if let Some((path, value)) = line.strip_prefix("# file ").and_then(|line| line.split_once('=')) {
                fake.files.insert(path.into(), unescape(value));
            }
        }
        fake
    }

    /// Every value, without its newline.
    fn secrets(&self) -> Vec<&str> {
        self.variables
            .values()
            .chain(self.files.values())
            .map(|value| value.trim())
            .filter(|value| value.len() > 5)
            .collect()
    }
}

impl Environment for Fake {
    fn variable(&self, name: &str) -> Option<Vec<u8>> {
        self.variables.get(name).map(|value| value.clone().into_bytes())
    }

    fn variable_names(&self) -> Vec<String> {
        self.variables.keys().cloned().collect()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.files.get(path).map(|text| text.clone().into_bytes()).ok_or(io::ErrorKind::NotFound.into())
    }
}

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    found.sort();
    assert!(found.len() >= 15);
    found
}

fn render(text: &str, file: &str) -> String {
    match compile(text, Path::new(file), &Fake::of(text)) {
        Ok(loaded) => {
            let notices: Vec<String> = loaded.notices.iter().map(|notice| format!("{notice}\n")).collect();
            format!("{}accepted\n", notices.concat())
        }
        Err(report) => format!("{report}\n"),
    }
}

#[test]
fn every_fixture_is_reported_as_written_down() {
    let bless = std::env::var_os("HOOKWARD_BLESS").is_some();
    let mut wrong = Vec::new();
    for path in fixtures() {
        let text = fs::read_to_string(&path).unwrap();
        let actual = render(&text, path.file_name().unwrap().to_str().unwrap());
        let golden = path.with_extension("expected");
        if bless {
            fs::write(&golden, &actual).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if actual != expected {
            wrong.push(format!("--- {}\n{actual}", golden.display()));
        }
    }
    assert!(wrong.is_empty(), "not as written down:\n{}", wrong.join("\n"));
}

#[test]
fn no_report_holds_a_part_of_a_secret() {
    for path in fixtures() {
        let text = fs::read_to_string(&path).unwrap();
        let report = render(&text, "x.toml");
        assert!(!report.contains("printed"), "{}", path.display());
        for secret in Fake::of(&text).secrets() {
            let body = secret.trim_start_matches("whsec_").trim_start_matches("sk_test_");
            for window in body.as_bytes().windows(8) {
                let part = std::str::from_utf8(window).unwrap();
                assert!(!report.contains(part), "{}: {part}", path.display());
            }
        }
    }
}

#[test]
fn ten_different_mistakes_are_reported_at_once_in_the_order_of_the_file() {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/ten-mistakes.toml")).unwrap();
    let report = compile(&text, Path::new("x.toml"), &Fake::default()).unwrap_err();
    assert!(report.errors() >= 10, "{report}");
    assert!(report.problems.is_sorted_by_key(|problem| problem.position));
    assert!(report.problems.iter().all(|problem| problem.position.is_some() && problem.hint.is_some()));
}

fn compiled(text: &str) -> Loaded {
    compile(text, Path::new("x.toml"), &Fake::of(text)).unwrap_or_else(|report| panic!("{report}"))
}

const MINIMAL: &str = "
# env S=0123456789abcdef0123
[routes.github]
path = \"/api/webhooks/github\"
provider = \"github\"
secrets = [{ env = \"S\" }]
";

#[test]
fn the_defaults_are_the_documented_ones() {
    let Loaded { plan, notices, .. } = compiled(MINIMAL);
    assert_eq!(notices, []);
    assert_eq!(plan.listeners[0].address.to_string(), "0.0.0.0:8080");
    assert_eq!(plan.upstream.authority.as_str(), "127.0.0.1:3000");
    assert_eq!(plan.unmatched, Unmatched::Forward);
    assert_eq!(plan.framework, Framework::NextJs);
    assert_eq!(plan.client.header, "x-forwarded-for");
    assert_eq!(plan.health, None);
    assert_eq!(plan.log, LogFormat::Json);
    let seconds = Duration::from_secs;
    let limits = Limits {
        max_body: 1 << 20,
        buffered_bytes: 64 << 20,
        max_connections: 4096,
        max_headers: 100,
        max_head: 16 << 10,
        head_timeout: seconds(10),
        body_timeout: seconds(10),
        idle_timeout: seconds(75),
        connect_timeout: seconds(2),
        upstream_max: seconds(120),
        upgrade_timeout: seconds(10),
        drain: seconds(25),
    };
    assert_eq!(plan.limits, limits);
    let route = &plan.routes[0];
    assert_eq!((&*route.name, &*route.path, &*route.provider), ("github", "/api/webhooks/github", "github"));
    assert_eq!((route.methods.as_slice(), route.allow.to_str().unwrap()), ([Method::POST].as_slice(), "POST"));
    assert_eq!((route.deadline, route.max_body, route.tolerance), (seconds(8), 1 << 20, 0));
    assert_eq!((&*route.keys[0].label, route.keys.len()), ("current", 1));
    assert!(route.allow_ips.is_none() && route.events.patterns.is_empty());
    assert_eq!(route.foreign.len(), route.scheme.families());
}

#[test]
fn every_key_reaches_the_plan() {
    let Loaded { plan, notices, app, summaries, files } = compiled(
        r#"
# env S=0123456789abcdef0123
# file /run/s=whsec_0123456789abcdef0123456789abcdef
[server]
listen = "127.0.0.2:81"
upstream = "http://app.internal/"
unmatched = "deny"
[app]
framework = "none"
base_path = "/docs"
aliases = ["/old"]
[client_ip]
trusted_proxies = ["10.0.3.7", "2001:db8::/64"]
header = "CF-Connecting-IP"
[admin]
health = "[::1]:9"
[limits]
max_body = 2
buffered_bytes = 65536
max_connections = 3
max_headers = 9
max_head = "8KiB"
head_timeout = "1s"
body_timeout = "2s"
idle_timeout = "3s"
connect_timeout = "4s"
upstream_max = "50s"
upgrade_timeout = "6s"
drain = "0s"
[telemetry]
log = "text"
[routes.z]
path = "/z/*"
provider = "stripe"
methods = ["PUT", "POST"]
secrets = [{ file = "/run/s" }]
allow_ips = ["192.0.2.0/24"]
tolerance = "1m"
deadline = "7s"
max_body = "1kB"
events = ["charge.*"]
replay = "dedupe"
[routes.a]
path = "/a"
scheme = "mine"
secrets = [{ env = "S" }]
[schemes.mine]
signature = { header = "x-signature", encoding = "hex" }
timestamp = { header = "x-time", tolerance = 60 }
content = "{timestamp}.{body}"
"#,
    );
    assert_eq!(notices, []);
    assert_eq!(plan.listeners[0].address.to_string(), "127.0.0.2:81");
    assert_eq!(plan.upstream.authority.as_str(), "app.internal:80");
    assert_eq!((plan.unmatched, plan.framework, plan.log), (Unmatched::Deny, Framework::None, LogFormat::Text));
    let declared = App { base_path: "/docs".to_owned(), aliases: vec!["/old".to_owned()], ..App::default() };
    assert_eq!(app, declared);
    assert_eq!(plan.client.header, "cf-connecting-ip");
    assert!(plan.client.rules.trusted.contains("10.0.3.7".parse().unwrap()));
    assert_eq!(plan.health.unwrap().to_string(), "[::1]:9");
    let seconds = Duration::from_secs;
    let limits = Limits {
        max_body: 2,
        buffered_bytes: 65536,
        max_connections: 3,
        max_headers: 9,
        max_head: 8192,
        head_timeout: seconds(1),
        body_timeout: seconds(2),
        idle_timeout: seconds(3),
        connect_timeout: seconds(4),
        upstream_max: seconds(50),
        upgrade_timeout: seconds(6),
        drain: seconds(0),
    };
    assert_eq!(plan.limits, limits);
    let [z, a] = plan.routes.as_slice() else { panic!("routes stay in the order of the file") };
    assert_eq!((&*z.name, &*z.path, z.allow.to_str().unwrap()), ("z", "/z/*", "PUT, POST"));
    assert_eq!((z.tolerance, z.deadline, z.max_body), (60, seconds(7), 1000));
    assert!(z.allow_ips.as_ref().unwrap().contains("192.0.2.9".parse().unwrap()));
    assert!(!z.allow_ips.as_ref().unwrap().contains("192.0.3.9".parse().unwrap()));
    assert_eq!(z.events.patterns, [Box::from("charge.*")]);
    let foreign = |name: &'static str| z.foreign[0].contains(&http::HeaderName::from_static(name));
    assert!(foreign("svix-id") && foreign("x-signature"), "of the catalogue and of one's own schemes");
    assert!(!foreign("stripe-signature"));
    assert_eq!((&*a.provider, a.tolerance, a.deadline, a.max_body), ("mine", 60, seconds(10), 2));
    assert_eq!(plan.targets.classify(b"POST", b"/docs/z/x"), Verdict::Route(0));
    assert_eq!(plan.targets.classify(b"POST", b"/docs/a"), Verdict::Route(1));
    assert!(matches!(plan.targets.classify(b"POST", b"/docs/old"), Verdict::Refused(_)));
    assert_eq!(plan.targets.classify(b"POST", b"/docs/other"), Verdict::Unmatched);
    assert_eq!(summaries[0].secrets[0].origin, Origin::File("/run/s".into()));
    assert_eq!((summaries[0].allow_ips, &summaries[1].secrets[0].origin), (1, &Origin::Variable("S".into())));
    assert_eq!(files, [PathBuf::from("/run/s")]);
}

#[test]
fn clerk_reads_its_customary_variables() {
    let route = "[routes.clerk]\npath = \"/c\"\nprovider = \"clerk\"\n";
    let labels = |text: &str| -> Vec<(String, Origin)> {
        let loaded = compiled(&format!("{text}{route}"));
        let plan = loaded.plan.routes[0].keys.iter().map(|key| key.label.to_string());
        plan.zip(loaded.summaries[0].secrets.iter().map(|secret| secret.origin.clone())).collect()
    };
    let new = "# env CLERK_WEBHOOK_SIGNING_SECRET=whsec_AAECAwQFBgcICQoLDA0ODxAREhM=\n";
    let old = "# env CLERK_WEBHOOK_SECRET=whsec_ExIREA8ODQwLCgkIBwYFBAMCAQA=\n";
    let named = |label: &str, name: &str| (label.to_owned(), Origin::Variable(name.into()));
    assert_eq!(labels(new), [named("current", "CLERK_WEBHOOK_SIGNING_SECRET")]);
    assert_eq!(labels(old), [named("current", "CLERK_WEBHOOK_SECRET")]);
    let both = [named("current", "CLERK_WEBHOOK_SIGNING_SECRET"), named("previous", "CLERK_WEBHOOK_SECRET")];
    assert_eq!(labels(&format!("{new}{old}")), both);
    let same = "# env CLERK_WEBHOOK_SECRET=whsec_AAECAwQFBgcICQoLDA0ODxAREhM=\n";
    assert_eq!(labels(&format!("{new}{same}")), [named("current", "CLERK_WEBHOOK_SIGNING_SECRET")]);
}

#[test]
fn upstreams_are_http_host_and_port() {
    let with = |upstream: &str| {
        let text = format!("{MINIMAL}[server]\nupstream = {upstream:?}\n");
        compile(&text, Path::new("x.toml"), &Fake::of(&text)).map(|loaded| loaded.plan.upstream.authority.to_string())
    };
    for (text, authority) in [
        ("http://127.0.0.1:3000", "127.0.0.1:3000"),
        ("http://[::1]:3000/", "[::1]:3000"),
        ("http://app", "app:80"),
        ("http://app.internal:8081", "app.internal:8081"),
        ("http://[::1]", "[::1]:80"),
        ("https://app.internal", "app.internal:443"),
        ("https://127.0.0.1:3443/", "127.0.0.1:3443"),
        ("unix:/run/app.sock", "localhost"),
    ] {
        assert_eq!(with(text).unwrap(), authority);
    }
    for text in [
        "",
        "127.0.0.1:3000",
        "localhost:3000",
        "https://",
        "https://app:0",
        "https://user@app",
        "unix:",
        "unix:run/app.sock",
        "unix:///run/app.sock",
        "HTTP://app",
        "ftp://app",
        "http://",
        "http:///",
        "http://:3000",
        "http://app:",
        "http://app:0",
        "http://app:65536",
        "http://app:port",
        "http://app:3000/api",
        "http://app:3000//",
        "http://app?x",
        "http://user:hunter2@app",
        "http://a b",
        "http://[::1",
        "http://app:+80",
        "http:// app",
    ] {
        let report = with(text).unwrap_err();
        assert!(report.problems.iter().all(|problem| &*problem.key == "server.upstream"), "{text}: {report}");
        assert!(!report.to_string().contains("hunter2"), "{text}");
    }
}

#[test]
fn addresses_have_a_port_and_a_hint_when_they_do_not() {
    for (text, hint) in [
        (":8080", "write \"0.0.0.0:8080\""),
        ("8080", "write \"0.0.0.0:8080\""),
        ("localhost:8080", "write \"127.0.0.1:8080\""),
        ("0.0.0.0", "write an address and a port: \"0.0.0.0:8080\" or \"[::]:8080\""),
        ("::1:8080x", "write an address and a port: \"0.0.0.0:8080\" or \"[::]:8080\""),
    ] {
        let config = format!("{MINIMAL}[server]\nlisten = {text:?}\n");
        let report = compile(&config, Path::new("x.toml"), &Fake::of(&config)).unwrap_err();
        assert_eq!(report.problems[0].hint.as_deref(), Some(hint), "{text}");
    }
}

#[test]
fn a_gate_is_never_in_front_of_itself() {
    for (listen, upstream, refused) in [
        ("0.0.0.0:8080", "http://127.0.0.1:8080", true),
        ("127.0.0.1:8080", "http://localhost:8080", true),
        ("[::]:8080", "http://[::1]:8080", true),
        ("10.0.0.1:8080", "http://10.0.0.1:8080", true),
        ("10.0.0.1:8080", "http://127.0.0.1:8080", false),
        ("0.0.0.0:8080", "http://127.0.0.1:8081", false),
        ("0.0.0.0:8080", "http://app:8080", false),
        ("127.0.0.1:0", "http://127.0.0.1:3000", false),
    ] {
        let config = format!("{MINIMAL}[server]\nlisten = {listen:?}\nupstream = {upstream:?}\n");
        let result = compile(&config, Path::new("x.toml"), &Fake::of(&config));
        assert_eq!(result.is_err(), refused, "{listen} {upstream}");
    }
}

#[test]
fn sizes_and_times_are_taken_at_their_bounds_and_refused_beyond() {
    for (key, good, bad) in [
        ("max_headers", ["8", "1000"], ["7", "1001"]),
        ("max_head", ["\"8KiB\"", "\"1MiB\""], ["8191", "1048577"]),
        ("idle_timeout", ["\"1s\"", "\"1h\""], ["\"999ms\"", "\"1h1ms\""]),
        ("drain", ["\"0s\"", "\"1h\""], ["\"1h1s\"", "0"]),
        ("max_connections", ["1", "1_000_000"], ["0", "1000001"]),
    ] {
        let accepted = |value: &str| {
            let config = format!("{MINIMAL}[limits]\n{key} = {value}\n");
            compile(&config, Path::new("x.toml"), &Fake::of(&config)).is_ok()
        };
        assert!(good.iter().all(|value| accepted(value)), "{key}");
        assert!(!bad.iter().any(|value| accepted(value)), "{key}");
    }
}

#[test]
fn the_catalogue_is_written_in_the_documented_keys() {
    let catalogue: toml::Table = toml::from_str(crate::providers::CATALOG).unwrap();
    for (name, provider) in catalogue {
        let Some(scheme) = provider.get("scheme") else { continue };
        let mine = toml::Table::from_iter([(name.clone(), scheme.clone())]);
        let text = toml::to_string(&toml::Table::from_iter([("schemes".to_owned(), mine.into())])).unwrap();
        let mut findings = findings::Findings::new("x.toml", &text);
        walk::read(toml::de::DeTable::parse(&text).unwrap().get_ref(), &mut findings);
        let result = findings.finish();
        assert!(result.is_ok(), "{name}: {}", result.unwrap_err());
    }
}

fn example() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml")).unwrap()
}

#[test]
fn the_example_loads_as_it_is() {
    let environment = Fake::of(
        "# env CLERK_WEBHOOK_SIGNING_SECRET=whsec_AAECAwQFBgcICQoLDA0ODxAREhM=\n# env LEGACY_SECRET=0123456789abcdef0123\n\
         # env EVERYTHING_SECRET=whsec_AAECAwQFBgcICQoLDA0ODxAREhM=\n",
    );
    let loaded =
        compile(&example(), Path::new("config.example.toml"), &environment).unwrap_or_else(|report| panic!("{report}"));
    let severities: Vec<Severity> = loaded.notices.iter().map(|notice| notice.severity).collect();
    assert_eq!(severities, [Severity::Note], "only the optional secret that is not there: {:?}", loaded.notices);
    assert_eq!(loaded.plan.routes.len(), 3);
}

#[test]
fn the_example_begins_with_the_least_that_works() {
    let text = example();
    let minimal = text.split("# ----").nth(1).unwrap();
    let minimal: Vec<&str> = minimal.lines().skip(1).map(|line| line.trim_start_matches('#').trim()).collect();
    let environment = Fake::of("# env CLERK_WEBHOOK_SIGNING_SECRET=whsec_AAECAwQFBgcICQoLDA0ODxAREhM=\n");
    let loaded = compile(&minimal.join("\n"), Path::new("x.toml"), &environment).unwrap();
    assert_eq!((loaded.plan.routes.len(), loaded.notices.len()), (1, 0));
}

/// Every key of this version is in the example, and with its default where a comment does not say otherwise.
#[test]
fn the_example_has_every_key_and_its_default() {
    let text = example();
    let table = toml::Value::Table(toml::from_str(&text).unwrap());
    for (path, key) in keys::tests::all() {
        let refused = matches!(key.status, keys::Status::Never(_));
        let found = values_at(&table, &path);
        if refused {
            assert!(found.is_empty(), "{path} is not in this version");
        } else if found.is_empty() {
            let commented = text.contains(&format!("# {} = ", key.name)) || text.contains(&format!("`{} = ", key.name));
            let or = text.contains(&format!("or {} = ", key.name))
                || ["# [", "# [["].iter().any(|open| text.contains(&format!("{open}{path}")));
            assert!(commented || or, "{path} is not in the example");
        }
        let Some(default) = key.default else { continue };
        let expected: toml::Table = toml::from_str(&format!("x = {default}")).unwrap();
        let line = text.lines().find(|line| line.trim_start().starts_with(&format!("{} = ", key.name)));
        let explained = line.is_some_and(|line| line.to_lowercase().contains("default"));
        let shown = found.iter().any(|value| **value == expected["x"]);
        assert!(refused || found.is_empty() || shown || explained, "{path}: the default is {default}");
    }
}

/// All values at a path in which `*` is any name and lists of tables are walked through.
fn values_at<'v>(value: &'v toml::Value, path: &str) -> Vec<&'v toml::Value> {
    path.split('.').fold(vec![value], |values, step| {
        let lists = values.into_iter().flat_map(|value| match value {
            toml::Value::Array(list) => list.iter().collect(),
            other => vec![other],
        });
        lists
            .filter_map(toml::Value::as_table)
            .flat_map(|table| {
                table
                    .iter()
                    .filter(|(name, _)| step == "*" || *name == step)
                    .map(|(_, value)| value)
                    .collect::<Vec<_>>()
            })
            .collect()
    })
}

#[cfg(not(feature = "otlp"))]
#[test]
fn a_build_without_otlp_says_how_to_make_one_with_it() {
    let text = format!("{MINIMAL}[telemetry.otlp]\nendpoint = \"http://127.0.0.1:4318\"\n");
    let report = compile(&text, Path::new("x.toml"), &Fake::of(&text)).unwrap_err().to_string();
    assert!(report.contains("telemetry.otlp: this hookward was built without OTLP"), "{report}");
    assert!(report.contains("cargo build --release --features otlp"), "{report}");
}

/// Without it, a signature over the method alone would open the way for any body.
#[test]
fn a_route_for_message_signatures_says_what_they_have_to_cover() {
    let route = |options: &str| {
        let text = format!(
            "# env KEY=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n\
             [server]\npublic_url = \"https://a.example\"\n[routes.r]\npath = \"/r\"\nprovider = \"rfc9421\"\nsecrets = [{{ env = \"KEY\" }}]\noptions = {{ {options} }}"
        );
        compile(&text, Path::new("x.toml"), &Fake::of(&text)).unwrap().plan.routes.remove(0).ingredients.options
    };
    let usual = route("alg = \"hmac-sha256\"");
    assert_eq!(usual["components"], "@method,@target-uri|@request-target|@path,content-digest");
    let chosen = route("alg = \"hmac-sha256\", components = \"@method\"");
    assert_eq!(chosen["components"], "@method");
}

#[test]
fn what_a_configuration_names_is_a_regular_file_and_the_configuration_itself_may_be_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    assert!(std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    std::os::unix::fs::symlink("/dev/zero", at("zero")).unwrap();
    std::fs::write(at("file"), "content").unwrap();
    std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
    std::fs::File::create(at("long")).unwrap().set_len(LONGEST + 1).unwrap();
    std::fs::File::create(at("longest")).unwrap().set_len(LONGEST).unwrap();
    let kind = |name: &str| System.read(&at(name)).map(|bytes| bytes.len()).map_err(|error| error.kind());
    let (tell, told) = std::sync::mpsc::channel();
    let pipe = at("pipe");
    std::thread::spawn(move || tell.send(System.read(&pipe).map_err(|error| error.to_string())));
    let refused = told.recv_timeout(std::time::Duration::from_secs(5)).unwrap();
    assert_eq!(refused, Err("is not a regular file".to_owned()));
    assert_eq!(kind("zero"), Err(io::ErrorKind::InvalidInput));
    assert_eq!(kind("link"), Ok(7));
    assert_eq!(kind("long"), Err(io::ErrorKind::FileTooLarge));
    assert_eq!(kind("longest"), Ok(usize::try_from(LONGEST).unwrap()));
    assert_eq!(System.read_named(&at("zero")).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    let pipe = at("pipe");
    let writer = std::thread::spawn(move || std::fs::write(pipe, "[server]"));
    assert_eq!(System.read_named(&at("pipe")).unwrap(), b"[server]");
    writer.join().unwrap().unwrap();
}

#[test]
fn a_file_that_is_too_long_for_what_it_is_named_for_is_refused_there() {
    let long = "a".repeat(usize::try_from(LONGEST).unwrap());
    let text = format!(
        "# env S=0123456789abcdef0123\n# file /long={long}\n[server]\nlisten = \"127.0.0.1:8443\"\n\
         tls = {{ cert = \"/long\", key = \"/long\" }}\n[routes.a]\npath = \"/a\"\nprovider = \"github\"\n\
         secrets = [{{ file = \"/long\" }}]\n[routes.b]\npath = \"/b\"\nprovider = \"aws-sns\"\n\
         options = {{ cert_file = \"/long\" }}\n"
    );
    let report = compile(&text, Path::new("x.toml"), &Fake::of(&text)).unwrap_err();
    let problems: Vec<(&str, &str)> = report.problems.iter().map(|problem| (&*problem.key, &*problem.what)).collect();
    for expected in [
        ("server.tls.cert", "/long is too long for a PEM file"),
        ("routes.a.secrets[0].file", "/long is too long to be a secret"),
        ("routes.b.options.cert_file", "/long is no text file of this kind"),
    ] {
        assert!(problems.contains(&expected), "{expected:?}: {problems:#?}");
    }
}

#[test]
fn a_configuration_is_loaded_with_itself_as_the_first_of_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("secret"), "0123456789abcdef0123").unwrap();
    let route = format!("path = \"/a\"\nprovider = \"github\"\nsecrets = [{{ file = {:?} }}]", at("secret"));
    fs::write(at("good.toml"), format!("[routes.a]\n{route}\n")).unwrap();
    fs::write(at("bad.toml"), b"# \xff\n").unwrap();
    let loaded = load(&at("good.toml"), &System).unwrap();
    assert_eq!(loaded.files, [at("good.toml"), at("secret")]);
    let what = |name: &str| {
        let report = load(&at(name), &System).unwrap_err();
        assert_eq!((report.problems.len(), report.problems[0].severity), (1, Severity::Error));
        assert_eq!(*report.problems[0].file, *at(name).display().to_string());
        (report.problems[0].what.to_string(), report.problems[0].hint.is_some())
    };
    assert_eq!(what("bad.toml"), ("is not UTF-8".to_owned(), true));
    let (missing, _) = what("missing.toml");
    assert!(missing.starts_with("cannot be read: "), "{missing}");
}

#[test]
fn a_variable_that_is_nearly_called_so_is_offered_out_of_the_real_environment() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.toml");
    fs::write(&file, "[routes.a]\npath = \"/a\"\nprovider = \"github\"\nsecrets = [{ env = \"PAHT\" }]\n").unwrap();
    let report = load(&file, &System).unwrap_err().to_string();
    assert!(
        report.contains("the environment variable PAHT is not set")
            && report.contains("PATH is set: did you mean that?"),
        "{report}"
    );
}

/// An id that nobody signed, or an answer that the sender uses, and each delivery runs.
#[test]
fn only_deliveries_with_a_signed_id_run_once_by_default() {
    let mode = |provider: &str, secret: &str, more: &str| {
        let text = format!(
            "# env S={secret}\n[server]\npublic_url = \"https://a.example\"\n[routes.r]\npath = \"/r\"\nprovider = \"{provider}\"\nsecrets = [{{ env = \"S\" }}]\n{more}"
        );
        compiled(&text).plan.routes[0].replay
    };
    let (whsec, hex) = ("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3", "0123456789abcdef0123456789abcdef");
    for (provider, secret) in
        [("clerk", whsec), ("svix", whsec), ("standard-webhooks", whsec), ("stripe", whsec), ("slack", hex)]
    {
        assert_eq!(mode(provider, secret, ""), ReplayMode::Dedupe, "{provider}");
        assert_eq!(mode(provider, secret, "replay = \"off\""), ReplayMode::Off, "{provider}");
    }
    for (provider, secret) in [("github", hex), ("shopify", hex), ("gitlab", hex), ("supabase", whsec), ("twilio", hex)]
    {
        assert_eq!(mode(provider, secret, ""), ReplayMode::Off, "{provider}");
    }
    assert_eq!(mode("github", hex, "replay = \"content\""), ReplayMode::Content);
    assert_eq!(mode("supabase", whsec, "replay = \"dedupe\""), ReplayMode::Dedupe);
}
