//! The plan's fingerprint: the same on every replica that runs the same configuration.
//!
//! SHA-256 over the tree of typed values, defaults included and in one order, so that neither comments nor formatting nor
//! the order of tables count; then over what public files hold and what lists resolve to. Must never be made of a secret,
//! not even of its hash: of those only labels and origins count. So the values of `insecure_value` and of `options`, which
//! may be one, are left out, and so is the query of an address.

use std::fmt::{self, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::compile::Context;
use super::raw::{Node, Table, Value};
use super::{Environment, Origin, RouteSummary};
use crate::plan::Route;

/// Bytes of the hash that are shown.
const SHOWN: usize = 6;
/// Keys whose value is a public file: it counts by what it holds.
const PUBLIC_FILES: &[&str] = &["cert", "ca"];

impl Context<'_, '_> {
    /// 12 hexadecimal digits.
    pub(super) fn fingerprint(&self, raw: &Table, routes: &[Route], summaries: &[RouteSummary]) -> Box<str> {
        let mut print = Print { hash: Sha256::new(), environment: self.environment };
        print.table(raw);
        let mut pairs: Vec<(&Route, &RouteSummary)> = routes.iter().zip(summaries).collect();
        pairs.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
        for (route, summary) in pairs {
            print.text(&route.name);
            // The tree does not hold all of a scheme, nor what the catalogue says of it.
            print.debug(&route.ingredients.spec);
            print.debug(&route.allow_ips);
            for secret in &summary.secrets {
                print.text(&secret.label);
                match &secret.origin {
                    Origin::Variable(name) => print.pair("variable", name),
                    Origin::File(path) => print.pair("file", &path.to_string_lossy()),
                    Origin::Inline => print.text("inline"),
                }
            }
        }
        let digits = print.hash.finalize();
        digits.iter().take(SHOWN).fold(String::new(), |text, byte| text + &format!("{byte:02x}")).into()
    }
}

struct Print<'e> {
    hash: Sha256,
    environment: &'e dyn Environment,
}

impl Print<'_> {
    fn table(&mut self, table: &Table) {
        let mut nodes: Vec<&Node> = table.nodes.iter().collect();
        nodes.sort_by(|one, other| one.name.cmp(&other.name));
        self.count(nodes.len());
        for node in nodes {
            self.text(&node.name);
            self.node(node);
        }
    }

    fn node(&mut self, node: &Node) {
        match &node.value {
            Value::Nothing => self.text("nothing"),
            Value::Bool(value) => self.pair("bool", &value.to_string()),
            Value::Integer(value) => self.pair("integer", &value.to_string()),
            Value::Integers(values) => {
                self.text("integers");
                self.debug(values);
            }
            Value::Duration(value) => self.pair("duration", &value.as_nanos().to_string()),
            Value::Text(_) if node.name == "insecure_value" => self.text("text"),
            Value::Text(address) if node.name == "url" => {
                self.pair("text", address.split(['?', '#']).next().unwrap_or_default());
            }
            Value::Text(path) if PUBLIC_FILES.contains(&node.name.as_str()) => {
                self.pair("file", path);
                self.file(Path::new(path));
            }
            Value::Text(text) => self.pair("text", text),
            Value::Texts(texts) => {
                self.text("texts");
                self.count(texts.len());
                for (text, _) in texts {
                    self.text(text);
                }
            }
            Value::Table(options) if node.name == "options" => {
                let mut names: Vec<&str> = options.nodes.iter().map(|node| node.name.as_str()).collect();
                names.sort_unstable();
                self.text("options");
                self.count(names.len());
                for name in names {
                    self.text(name);
                }
            }
            Value::Table(table) => {
                self.text("table");
                self.table(table);
            }
            Value::Tables(tables) => {
                self.text("tables");
                self.count(tables.len());
                for table in tables {
                    self.table(table);
                }
            }
        }
    }

    fn file(&mut self, path: &Path) {
        match self.environment.read(path) {
            Ok(bytes) => self.bytes(&bytes),
            // It was there a moment ago, or the plan would have been refused.
            Err(_) => self.text("unreadable"),
        }
    }

    fn debug(&mut self, value: &dyn fmt::Debug) {
        // Hashing cannot fail.
        let _ = write!(Hashed(&mut self.hash), "{value:?}");
        self.hash.update([0]);
    }

    fn pair(&mut self, kind: &str, value: &str) {
        self.text(kind);
        self.text(value);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// With its length, so that no two trees read alike.
    fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.hash.update(bytes);
    }

    fn count(&mut self, count: usize) {
        self.hash.update(u64::try_from(count).unwrap_or(u64::MAX).to_be_bytes());
    }
}

/// Takes text in pieces: the set of a long list is never written out whole.
struct Hashed<'h>(&'h mut Sha256);

impl Write for Hashed<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::compile;
    use crate::config::tests::Fake;

    const BASE: &str = "# env CURRENT=aaaaaaaaaaaaaaaaaaaa\n# file /run/next=bbbbbbbbbbbbbbbbbbbb\\n\n";
    const TOML: &str = "[server]\nupstream = \"http://127.0.0.1:3000\"\n[limits]\nmax_body = \"1MiB\"\n\
        [routes.a]\npath = \"/a\"\nprovider = \"github\"\nallow_ips = [\"192.0.2.0/24\"]\n\
        secrets = [{ label = \"current\", env = \"CURRENT\" }, { label = \"next\", file = \"/run/next\", optional = true }]\n\
        [routes.b]\npath = \"/b\"\nprovider = \"github\"\nsecrets = [{ insecure_value = \"cccccccccccccccccccc\" }]\n";

    fn of(environment: &str, toml: &str) -> String {
        let loaded = compile(toml, Path::new("a.toml"), &Fake::of(environment));
        loaded.unwrap_or_else(|report| panic!("{report}")).plan.fingerprint.into()
    }

    #[test]
    fn twelve_digits_that_comments_order_and_formatting_do_not_change() {
        let print = of(BASE, TOML);
        assert!(print.len() == 12 && print.bytes().all(|byte| byte.is_ascii_hexdigit()), "{print}");
        let (head, routes) = TOML.split_once("[routes.a]").unwrap();
        let (a, b) = routes.split_once("[routes.b]").unwrap();
        let (server, limits) = head.split_once("[limits]").unwrap();
        let moved = format!("# hi\n[routes.b]{b}\n\n[routes.a]{a}\n[limits]{limits}{server}");
        assert_eq!(of(BASE, &moved), print);
        assert_eq!(of(BASE, &TOML.replace("\"1MiB\"", "\"1024KiB\"")), print, "the same size");
        assert_eq!(of(BASE, &format!("{TOML}methods = [\"POST\"]\n")), print, "the default, typed");
    }

    #[test]
    fn every_difference_that_matters_shows() {
        let print = of(BASE, TOML);
        for (from, to) in [
            ("\"/a\"", "\"/A\""),
            ("[routes.b]", "[routes.c]"),
            ("1MiB", "2MiB"),
            ("192.0.2.0/24", "192.0.2.0/25"),
            ("label = \"next\"", "label = \"coming\""),
            ("env = \"CURRENT\"", "env = \"OTHER\""),
            ("\"http://127.0.0.1:3000\"", "\"http://127.0.0.1:3001\""),
            ("[routes.b]", "[app]\nlocales = [\"en\"]\n[routes.b]"),
            (
                "secrets = [{ insecure_value = \"cccccccccccccccccccc\" }]",
                "secrets = [{ insecure_value = \"cccccccccccccccccccc\" }]\n[server.upstream_tls]\nserver_name = \"x\"",
            ),
        ] {
            let toml = if to.contains("upstream_tls") { TOML.replace("http://", "https://") } else { TOML.to_owned() };
            let changed = toml.replace(from, to);
            assert_ne!(changed, toml, "{from}");
            let environment = BASE.replace("CURRENT=", "OTHER=dddddddddddddddddddd\n# env CURRENT=");
            assert_ne!(of(&environment, &changed), print, "{to}");
        }
        let absent = BASE.replace("# file /run/next", "# file /run/elsewhere");
        assert_ne!(of(&absent, TOML), print, "an optional secret that is not there is not in force");
    }

    #[test]
    fn no_byte_of_a_secret_counts() {
        let print = of(BASE, TOML);
        for secret in ["aaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbb", "cccccccccccccccccccc"] {
            for at in 0..secret.len() {
                let mut other = secret.to_owned();
                other.replace_range(at..=at, "Z");
                assert_eq!(of(&BASE.replace(secret, &other), &TOML.replace(secret, &other)), print, "{other}");
            }
            let longer = secret.repeat(2);
            assert_eq!(of(&BASE.replace(secret, &longer), &TOML.replace(secret, &longer)), print);
        }
    }

    #[test]
    fn a_token_counts_by_everything_but_its_key() {
        let keys = ["the first key of this test, 32 bytes", "the second key of this test, 32 bytes"];
        let with = |key: &str, token: &str| {
            let environment = format!("{BASE}# env KEY={key}\n# env OTHER={key}\n# file /run/key={key}\n");
            of(&environment, &format!("{TOML}[verified_event.token]\n{token}\n"))
        };
        let token = "key = { env = \"KEY\" }";
        let print = with(keys[0], token);
        assert_ne!(print, of(BASE, TOML));
        assert_eq!(with(keys[1], token), print);
        assert_eq!(with(keys[0], &format!("{token}\naudience = \"app\"\nttl = \"1m\"")), print, "the defaults, typed");
        for more in ["audience = \"other\"", "issuer = \"other\"", "ttl = \"59s\""] {
            assert_ne!(with(keys[0], &format!("{token}\n{more}")), print, "{more}");
        }
        for other in ["key = { env = \"OTHER\" }", "key = { file = \"/run/key\" }"] {
            assert_ne!(with(keys[0], other), print, "{other}");
        }
        let inline = |key: &str| with(key, &format!("key = {{ insecure_value = \"{key}\" }}"));
        assert_eq!(inline(keys[0]), inline(keys[1]));
    }

    #[test]
    fn the_values_of_options_do_not_count() {
        let with = |options: &str| {
            let toml = format!("[routes.a]\npath = \"/a\"\nprovider = \"aws-sns\"\noptions = {{ {options} }}\n");
            of(BASE, &toml)
        };
        let topics = |last: &str| format!("topics = \"arn:aws:sns:us-east-1:123456789012:{last}\"");
        assert_eq!(with(&topics("one")), with(&topics("two")));
    }

    #[test]
    fn a_certificate_counts_by_what_it_holds_and_a_key_does_not() {
        let (cert, key) =
            (include_str!("../../tests/data/tls/server.pem"), include_str!("../../tests/data/tls/server.key"));
        let (new_cert, new_key) =
            (include_str!("../../tests/data/tls/renewed.pem"), include_str!("../../tests/data/tls/renewed.key"));
        let ca = include_str!("../../tests/data/tls/ca.pem");
        let toml = TOML.replace("http://", "https://")
            + "[server.upstream_tls]\nca = \"/ca.pem\"\n[server.tls]\ncert = \"/tls.crt\"\nkey = \"/tls.key\"\n";
        let with = |ca: &str, cert: &str, key: &str| {
            let line = |path: &str, text: &str| format!("# file {path}={}\n", text.replace('\n', "\\n"));
            of(&[BASE, &line("/ca.pem", ca), &line("/tls.crt", cert), &line("/tls.key", key)].concat(), &toml)
        };
        let print = with(ca, cert, key);
        assert_eq!(with(ca, cert, &format!("{key}\n")), print, "another key file");
        assert_ne!(with(ca, new_cert, new_key), print);
        assert_ne!(with(&format!("{ca}\n"), cert, key), print);
    }
}
