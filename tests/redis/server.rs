//! A real Redis or Valkey on a free port of loopback, killed when dropped.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// `redis-server`, or what HOOKWARD_STORE names. TLS is always Redis's: Valkey's wheel is built without.
fn program(setup: &Setup<'_>) -> String {
    let named = std::env::var("HOOKWARD_STORE").ok().filter(|_| !setup.tls);
    named.unwrap_or_else(|| "redis-server".to_owned())
}

pub struct Server {
    pub port: u16,
    program: String,
    arguments: Vec<String>,
    password: Option<&'static str>,
    tls: bool,
    child: Option<Child>,
    dir: TempDir,
}

#[derive(Default)]
pub struct Setup<'a> {
    pub password: Option<&'static str>,
    pub tls: bool,
    pub more: &'a [&'a str],
}

impl Server {
    pub fn start() -> Self {
        Self::with(&Setup::default())
    }

    pub fn with(setup: &Setup<'_>) -> Self {
        crate::listen();
        // Another process may take the port between the two: then the server does not start, and another one is tried.
        (0..5).find_map(|_| Self::try_with(setup)).expect("the server does not start")
    }

    fn try_with(setup: &Setup<'_>) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let dir = TempDir::new().unwrap();
        let mut arguments: Vec<String> =
            ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--databases", "16"]
                .map(str::to_owned)
                .to_vec();
        let mut add = |words: &[&str]| arguments.extend(words.iter().map(|word| (*word).to_owned()));
        let number = port.to_string();
        if setup.tls {
            let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls");
            let file = |name: &str| tls.join(name).to_str().unwrap().to_owned();
            add(&["--port", "0", "--tls-port", &number, "--tls-auth-clients", "no"]);
            add(&["--tls-cert-file", &file("server.pem"), "--tls-key-file", &file("server.key")]);
            add(&["--tls-ca-cert-file", &file("ca.pem")]);
        } else {
            add(&["--port", &number]);
        }
        add(&["--unixsocket", dir.path().join("socket").to_str().unwrap()]);
        if let Some(password) = setup.password {
            add(&["--requirepass", password]);
        }
        add(setup.more);
        let (password, tls) = (setup.password, setup.tls);
        let mut server = Self { port, program: program(setup), arguments, password, tls, child: None, dir };
        server.spawn().then_some(server)
    }

    /// Whether it runs.
    fn spawn(&mut self) -> bool {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).arg("--dir").arg(self.dir.path());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.child = Some(child.unwrap());
        let until = Instant::now() + Duration::from_secs(10);
        while Instant::now() < until {
            if self.child.as_mut().unwrap().try_wait().unwrap().is_some() {
                return false;
            }
            if self.try_ask(&["PING"]).is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    pub fn socket(&self) -> String {
        self.dir.path().join("socket").to_str().unwrap().to_owned()
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn restart(&mut self) {
        self.kill();
        assert!(self.spawn(), "the server does not start again");
    }

    /// `STOP` or `CONT`.
    pub fn signal(&self, name: &str) {
        let process = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &process]).status().unwrap().success());
    }

    /// Over the Unix socket, on a connection of its own.
    pub fn ask(&self, words: &[&str]) -> redis::Value {
        self.try_ask(words).unwrap()
    }

    pub fn text(&self, words: &[&str]) -> String {
        redis::from_redis_value(self.ask(words)).unwrap()
    }

    pub fn list(&self, words: &[&str]) -> Vec<String> {
        redis::from_redis_value(self.ask(words)).unwrap()
    }

    fn try_ask(&self, words: &[&str]) -> redis::RedisResult<redis::Value> {
        use std::os::unix::net::UnixStream;
        // The crate's own blocking client would do, but would bring the test nearer to what it tests.
        let mut socket = UnixStream::connect(self.socket())?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        if let Some(password) = self.password {
            exchange(&mut socket, &["AUTH", password])?;
        }
        exchange(&mut socket, words)
    }

    pub fn is_tls(&self) -> bool {
        self.tls
    }
}

fn exchange(socket: &mut std::os::unix::net::UnixStream, words: &[&str]) -> redis::RedisResult<redis::Value> {
    use std::io::Write;
    let mut line = format!("*{}\r\n", words.len());
    for word in words {
        line.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    socket.write_all(line.as_bytes())?;
    redis::Parser::new().parse_value(socket)?.extract_error()
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
