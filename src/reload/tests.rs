//! The state machine, look by look, over files that the test writes.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Mutex;

use super::judge;
use super::*;
use crate::config::Problem;
use crate::plan::{Collector, ListSource, Listed};
use crate::telemetry::metrics::{Format, Snapshot};

const CONFIG: &str = "/hookward.toml";
const OLD: &str = "first-secret-of-this-route";
const NEW: &str = "second-secret-of-this-route";

/// Files that change under the reloader.
#[derive(Debug, Clone, Default)]
struct Disk(Arc<Mutex<BTreeMap<PathBuf, String>>>);

impl Disk {
    fn write(&self, path: &str, text: impl Into<String>) {
        self.0.lock().unwrap().insert(path.into(), text.into());
    }

    fn remove(&self, path: &str) {
        self.0.lock().unwrap().remove(Path::new(path)).unwrap();
    }

    fn edit(&self, from: &str, to: &str) {
        let text = self.0.lock().unwrap()[Path::new(CONFIG)].clone();
        assert!(text.contains(from), "{from}");
        self.write(CONFIG, text.replace(from, to));
    }
}

impl Environment for Disk {
    fn variable(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn variable_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.lock().unwrap().get(path).map(|text| text.clone().into_bytes()).ok_or(io::ErrorKind::NotFound.into())
    }
}

struct Bench {
    disk: Disk,
    live: Arc<Live>,
    metrics: Arc<Metrics>,
    reloader: Reloader,
}

impl Bench {
    fn new() -> Self {
        let disk = Disk::default();
        disk.write(
            CONFIG,
            "[server]\nunmatched = \"forward\"\n[limits]\nbuffered_bytes = \"64MiB\"\n[routes.a]\npath = \"/a\"\n\
             provider = \"github\"\nsecrets = [\n  { label = \"old\", file = \"/old\", optional = true },\n  \
             { label = \"new\", file = \"/new\", optional = true },\n]\n",
        );
        disk.write("/old", OLD);
        let (reading, outcome) = load(Path::new(CONFIG), &disk);
        let live = Arc::new(Live::new(Arc::new(outcome.unwrap().plan)));
        let metrics = Arc::new(Metrics::new());
        let reloader = Reloader::new(CONFIG.into(), disk.clone(), reading, Arc::clone(&live), Arc::clone(&metrics));
        Self { disk, live, metrics, reloader }
    }

    /// What so many looks come to.
    fn looks<const N: usize>(&mut self) -> [Look; N] {
        std::array::from_fn(|_| self.reloader.look())
    }

    fn labels(&self) -> Vec<String> {
        self.live.plan().routes.iter().flat_map(|route| &route.keys).map(|key| key.label.to_string()).collect()
    }

    fn count(&self, outcome: ReloadOutcome) -> u64 {
        let line = format!("hookward_config_reload_total{{outcome=\"{}\"}} ", outcome.code());
        let text = self.metrics.encode(Snapshot::default(), Format::Text);
        text.lines().find_map(|text| text.strip_prefix(&line)).map_or(0, |count| count.parse().unwrap())
    }

    fn last(&self) -> Option<ReloadOutcome> {
        self.live.history().last.map(|(outcome, _)| outcome)
    }
}

#[test]
fn nothing_happens_while_nothing_changes() {
    let mut bench = Bench::new();
    let before = bench.live.plan();
    assert_eq!(bench.looks(), [Look::Unchanged; 5]);
    bench.disk.write("/old", OLD);
    assert_eq!(bench.looks(), [Look::Unchanged], "written again with the same content");
    assert!(Arc::ptr_eq(&before, &bench.live.plan()));
    assert_eq!((bench.last(), bench.count(ReloadOutcome::Unchanged)), (None, 0));
}

#[test]
fn what_two_looks_agree_on_is_applied_once() {
    let mut bench = Bench::new();
    let before = bench.live.plan().fingerprint.clone();
    bench.disk.edit("\"/a\"", "\"/a/*\"");
    assert_eq!(bench.looks(), [Look::Unsettled]);
    assert_eq!(bench.live.plan().fingerprint, before);
    assert_eq!(bench.looks(), [Look::Applied, Look::Unchanged, Look::Unchanged]);
    assert_ne!(bench.live.plan().fingerprint, before);
    assert_eq!(&*bench.live.plan().routes[0].path, "/a/*");
    assert_eq!((bench.last(), bench.count(ReloadOutcome::Applied)), (Some(ReloadOutcome::Applied), 1));
}

#[test]
fn a_file_that_is_still_being_written_is_never_applied() {
    let mut bench = Bench::new();
    bench.disk.edit("\"/a\"", "\"/a/*\"");
    let whole = bench.disk.0.lock().unwrap()[Path::new(CONFIG)].clone();
    for end in [0, 10, 60, whole.len() - 5] {
        bench.disk.write(CONFIG, &whole[..end]);
        assert_eq!(bench.looks(), [Look::Unsettled], "{end}");
    }
    // Valid, and still not what it becomes.
    bench.disk.write(CONFIG, whole.replace("/a/*", "/b"));
    assert_eq!(bench.looks(), [Look::Unsettled]);
    bench.disk.write(CONFIG, whole);
    assert_eq!((bench.looks(), bench.last()), ([Look::Unsettled], None));
    assert_eq!(bench.looks(), [Look::Applied]);
    assert_eq!(bench.count(ReloadOutcome::Refused), 0);
}

#[test]
fn a_change_that_is_taken_back_at_once_is_none() {
    let mut bench = Bench::new();
    bench.disk.edit("\"/a\"", "\"/b\"");
    assert_eq!(bench.looks(), [Look::Unsettled]);
    bench.disk.edit("\"/b\"", "\"/a\"");
    assert_eq!(bench.looks(), [Look::Unchanged, Look::Unchanged]);
    bench.disk.edit("\"/a\"", "\"/b\"");
    assert_eq!(bench.looks(), [Look::Unsettled], "what was seen before the way back does not count");
}

#[test]
fn a_broken_file_is_refused_once_and_its_repair_applied() {
    let mut bench = Bench::new();
    let before = bench.live.plan();
    bench.disk.edit("[routes.a]", "[routes.a");
    assert_eq!(bench.looks(), [Look::Unsettled, Look::Refused, Look::Unchanged, Look::Unchanged]);
    assert!(Arc::ptr_eq(&before, &bench.live.plan()));
    assert_eq!((bench.last(), bench.count(ReloadOutcome::Refused)), (Some(ReloadOutcome::Refused), 1));
    bench.disk.edit("[routes.a", "[routes");
    assert_eq!(bench.looks(), [Look::Unsettled, Look::Refused, Look::Unchanged], "broken otherwise");
    bench.disk.edit("[routes", "[routes.b]");
    assert_eq!(bench.looks(), [Look::Unsettled, Look::Applied]);
    assert_eq!(&*bench.live.plan().routes[0].name, "b");
}

#[test]
fn a_broken_file_that_is_put_back_leaves_the_plan_in_force_alone() {
    let mut bench = Bench::new();
    let before = bench.live.plan();
    bench.disk.edit("[routes.a]", "[routes.a");
    assert_eq!(bench.looks(), [Look::Unsettled, Look::Refused]);
    bench.disk.edit("[routes.a", "[routes.a]");
    assert_eq!(bench.looks(), [Look::Unsettled, Look::Restored, Look::Unchanged]);
    assert!(Arc::ptr_eq(&before, &bench.live.plan()));
    assert_eq!(bench.last(), Some(ReloadOutcome::Unchanged));
}

#[test]
fn an_optional_secret_comes_and_the_old_one_goes() {
    let mut bench = Bench::new();
    assert_eq!(bench.labels(), ["old"]);
    bench.disk.write("/new", NEW);
    assert_eq!(bench.looks(), [Look::Unsettled, Look::Applied]);
    assert_eq!(bench.labels(), ["old", "new"]);
    bench.disk.remove("/old");
    assert_eq!(bench.looks(), [Look::Unsettled, Look::Applied, Look::Unchanged]);
    assert_eq!(bench.labels(), ["new"]);
    bench.disk.remove("/new");
    assert_eq!(bench.looks(), [Look::Unsettled, Look::Refused], "no secret at all");
    assert_eq!(bench.labels(), ["new"]);
    bench.disk.write("/old", OLD);
    assert_eq!(bench.looks(), [Look::Unsettled, Look::Applied]);
    assert_eq!(bench.labels(), ["old"]);
}

#[test]
fn what_a_route_checks_no_more_is_told() {
    let mut bench = Bench::new();
    let path = "path = \"/a\"\n";
    bench.disk.edit(path, &format!("{path}allow_ips = [\"192.0.2.0/24\"]\nreplay = \"content\"\n"));
    assert_eq!(bench.looks(), [Look::Unsettled, Look::Applied]);
    let strict = bench.live.plan();
    for (from, to, told) in [
        ("allow_ips = [\"192.0.2.0/24\"]\n", "", "route a takes deliveries from any address now (allow_ips)"),
        ("\"content\"", "\"off\"", "route a runs a delivery as often as it is sent now (replay)"),
        (
            "secrets = [",
            "insecure_report = [\"ip\"]\nsecrets = [",
            "route a only logs what it refused before (insecure_report)",
        ),
        ("routes.a", "routes.b", "route b was a: it knows nothing of what that one has run"),
    ] {
        bench.disk.edit(from, to);
        assert_eq!(bench.looks(), [Look::Unsettled, Look::Applied]);
        let weak = bench.live.plan();
        assert_eq!(judge::weaker(&strict, &weak), [told]);
        assert!(judge::weaker(&weak, &strict).iter().all(|line| line.contains("was b")), "nothing is less by that");
        if to.is_empty() {
            bench.disk.edit(path, &format!("{path}{from}"));
        } else {
            bench.disk.edit(to, from);
        }
        assert_eq!(bench.looks(), [Look::Unsettled, Look::Applied]);
    }
    assert!(judge::weaker(&strict, &strict).is_empty());
}

#[test]
fn another_secret_under_the_same_name_is_a_change_that_the_fingerprint_does_not_show() {
    let mut bench = Bench::new();
    let before = bench.live.plan();
    bench.disk.write("/old", NEW);
    assert_eq!(bench.looks(), [Look::Unsettled, Look::Applied]);
    let after = bench.live.plan();
    assert_eq!(before.fingerprint, after.fingerprint);
    assert_eq!(judge::secrets(&before, &after), (vec!["a/old".to_owned()], vec!["a/old".to_owned()]));
    assert_eq!(judge::secrets(&before, &before), (vec![], vec![]));
}

#[test]
fn protection_is_not_taken_away_unasked() {
    let mut bench = Bench::new();
    bench.disk.edit("\"/a\"", "\"/b\"");
    assert_eq!(bench.looks(), [Look::Unsettled, Look::Refused, Look::Unchanged]);
    assert_eq!(&*bench.live.plan().routes[0].path, "/a");
    bench.disk.edit("[server]", "[server]\nallow_route_removal = true");
    assert_eq!(bench.looks(), [Look::Unsettled, Look::Applied]);
    assert_eq!(&*bench.live.plan().routes[0].path, "/b");
}

#[test]
fn what_is_denied_is_protected_too() {
    let mut bench = Bench::new();
    bench.disk.edit("\"forward\"", "\"deny\"");
    assert_eq!(bench.looks(), [Look::Unsettled, Look::Applied]);
    bench.disk.edit("\"deny\"", "\"forward\"");
    assert_eq!(bench.looks(), [Look::Unsettled, Look::Refused]);
    assert_eq!(bench.live.plan().unmatched, crate::plan::Unmatched::Deny);
    bench.disk.edit("[server]", "[server]\nallow_route_removal = true");
    assert_eq!(bench.looks(), [Look::Unsettled, Look::Applied]);
}

#[test]
fn a_question_is_answered_by_what_became_of_the_last_change() {
    let mut bench = Bench::new();
    bench.reloader.answer();
    assert_eq!((bench.last(), bench.count(ReloadOutcome::Unchanged)), (Some(ReloadOutcome::Unchanged), 1));
    bench.disk.edit("[routes.a]", "[routes.a");
    assert_eq!(bench.looks(), [Look::Unsettled, Look::Refused]);
    bench.reloader.answer();
    assert_eq!((bench.last(), bench.count(ReloadOutcome::Refused)), (Some(ReloadOutcome::Refused), 2));
}

#[test]
fn who_follows_hears_of_the_plan_in_force_and_of_each_new_one() {
    let mut bench = Bench::new();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hearing = Arc::clone(&heard);
    bench.live.follow(move |plan| hearing.lock().unwrap().push(plan.limits.buffered_bytes >> 20));
    bench.disk.edit("64MiB", "32MiB");
    assert_eq!(bench.looks(), [Look::Unsettled, Look::Applied]);
    assert_eq!(*heard.lock().unwrap(), [64, 32]);
}

#[test]
fn what_is_bound_and_opened_at_start_waits_for_a_restart() {
    let plan = |toml: &str| {
        let toml = format!(
            "{toml}\n[routes.a]\npath = \"/a\"\nprovider = \"github\"\nsecrets = [{{ insecure_value = \"{OLD}\" }}]\n"
        );
        config::compile(&toml, Path::new("a.toml"), &Disk::default()).unwrap().plan
    };
    let one = plan("[server]\nlisten = \"127.0.0.1:8080\"");
    let cases: [(&str, &[&str]); 6] = [
        ("[server]\nlisten = \"127.0.0.1:8080\"", &[]),
        ("[server]\nlisten = \"127.0.0.1:8080\"\nunmatched = \"deny\"", &[]),
        ("[server]\nlisten = \"127.0.0.1:8081\"", &["server.listen"]),
        ("[[server.listener]]\nlisten = \"127.0.0.1:8080\"", &[]),
        (
            "[[server.listener]]\nlisten = \"127.0.0.1:8080\"\n[[server.listener]]\nlisten = \"127.0.0.1:8081\"",
            &["server.listen"],
        ),
        (
            "[server]\nlisten = \"127.0.0.1:8080\"\n[admin]\nhealth = \"127.0.0.1:9090\"\ninspector = \"127.0.0.1:9091\"\n[telemetry]\nlog = \"text\"",
            &["admin.health", "admin.inspector", "telemetry.log"],
        ),
    ];
    for (toml, keys) in cases {
        assert_eq!(judge::needs_restart(&one, &plan(toml)), keys, "{toml}");
    }
    let traced = |key: &'static str| {
        let header = (http::header::AUTHORIZATION, http::HeaderValue::from_static(key));
        let endpoint = http::Uri::from_static("http://127.0.0.1:4318/v1/traces");
        let collector = Collector { endpoint, service_name: "gate".into(), headers: vec![header], ca: None };
        Plan { otlp: Some(Arc::new(collector)), ..plan(cases[0].0) }
    };
    assert_eq!(judge::needs_restart(&one, &traced("a")), ["telemetry.otlp"]);
    assert_eq!(judge::needs_restart(&traced("a"), &traced("b")), ["telemetry.otlp"], "its secrets count");
    assert_eq!(judge::needs_restart(&traced("a"), &traced("a")), [""; 0]);
}

#[test]
fn a_finding_is_one_line() {
    let problem = Problem {
        severity: crate::config::Severity::Error,
        file: "a.toml".into(),
        position: None,
        key: "x\ny".into(),
        what: "is wrong".into(),
        hint: Some("put it right".into()),
    };
    assert_eq!(judge::line(&problem), "a.toml: x y: is wrong; put it right");
}

/// Says something else each time it is asked.
struct Restless(Cell<u8>);

impl Environment for Restless {
    fn variable(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn variable_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.set(self.0.get().wrapping_add(1));
        if path == Path::new("/absent") { Err(io::ErrorKind::NotFound.into()) } else { Ok(vec![self.0.get()]) }
    }

    fn list(&self, _: &ListSource) -> Option<Listed> {
        self.0.set(self.0.get().wrapping_add(1));
        let entries = [ipnet::IpNet::new([192, 0, 2, self.0.get()].into(), 32).unwrap()];
        Some(Listed { entries: entries.into(), as_of: u64::from(self.0.get()) })
    }
}

fn source() -> ListSource {
    ListSource {
        name: "svix".into(),
        url: "https://example.com/".parse().unwrap(),
        refresh: INTERVAL,
        select: Vec::new(),
        cache: None,
        ca: None,
    }
}

#[test]
fn one_load_sees_each_file_and_list_at_one_moment() {
    let restless = Restless(Cell::new(0));
    let (_, ()) = Reading::of(&restless, |environment| {
        let read = |path: &str| environment.read(Path::new(path)).map_err(|error| error.kind());
        assert_eq!(
            (read("/a"), read("/b"), read("/a"), read("/b")),
            (Ok(vec![1]), Ok(vec![2]), Ok(vec![1]), Ok(vec![2]))
        );
        assert_eq!((read("/absent"), read("/absent")), (Err(io::ErrorKind::NotFound), Err(io::ErrorKind::NotFound)));
        let listed = environment.list(&source()).unwrap();
        assert_eq!(environment.list(&source()), Some(listed));
    });
    assert_eq!(restless.0.get(), 4);
}

#[test]
fn a_list_counts_by_its_addresses_and_not_by_when_it_was_fetched() {
    struct Lists(Cell<(u8, u64)>);
    impl Environment for Lists {
        fn variable(&self, _: &str) -> Option<Vec<u8>> {
            None
        }
        fn variable_names(&self) -> Vec<String> {
            Vec::new()
        }
        fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
            Err(io::ErrorKind::NotFound.into())
        }
        fn list(&self, _: &ListSource) -> Option<Listed> {
            let (last, as_of) = self.0.get();
            let entries = [ipnet::IpNet::new([192, 0, 2, last].into(), 32).unwrap()];
            (last > 0).then(|| Listed { entries: entries.into(), as_of })
        }
    }
    let lists = Lists(Cell::new((0, 0)));
    let read = || Reading::of(&lists, |environment| environment.list(&source())).0;
    let none = read();
    assert!(none.still_holds(&lists));
    lists.0.set((1, 5));
    assert!(!none.still_holds(&lists));
    let one = read();
    lists.0.set((1, 6));
    assert!(one.still_holds(&lists));
    assert_eq!(one, read());
    lists.0.set((2, 6));
    assert!(!one.still_holds(&lists));
    assert_ne!(one, read());
}

#[test]
fn only_regular_files_of_a_sane_length_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    let made = std::fs::File::create(&file).unwrap();
    made.set_len(64 << 20).unwrap();
    assert_eq!(Careful.read(&file).unwrap().len(), 64 << 20);
    made.set_len((64 << 20) + 1).unwrap();
    assert_eq!(Careful.read(&file).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    for path in [directory.path(), Path::new("/dev/zero")] {
        assert_eq!(Careful.read(path).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{path:?}");
    }
    assert_eq!(Careful.read(&directory.path().join("absent")).unwrap_err().kind(), io::ErrorKind::NotFound);
    let pipe = directory.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert_eq!(Careful.read(&pipe).unwrap_err().kind(), io::ErrorKind::InvalidInput, "nobody writes into it");
    let link = directory.path().join("link");
    std::fs::write(directory.path().join("target"), "x").unwrap();
    std::os::unix::fs::symlink("target", &link).unwrap();
    assert_eq!(Careful.read(&link).unwrap(), b"x");
}

#[test]
fn a_wake_comes_through_and_never_sooner_than_a_write_takes() {
    for (wake, expected) in [(Wake::Signal, Some(true)), (Wake::Lists, Some(false)), (Wake::Stop, None)] {
        let (waker, woken) = channel();
        let since = clock::monotonic();
        waker.wake(wake);
        assert_eq!(wait(&woken, false, false), expected);
        assert!(wake == Wake::Stop || since.elapsed() >= SETTLE, "{wake:?}");
        drop(waker);
        assert_eq!(wait(&woken, false, false), None, "nobody is left to wake it");
    }
    let (waker, woken) = channel();
    let since = clock::monotonic();
    waker.wake(Wake::Lists);
    assert_eq!(wait(&woken, true, false), Some(false));
    assert!(since.elapsed() >= INTERVAL, "a list does not hurry the second look at a file");
}

/// A disk beside a list that is fetched.
#[derive(Debug, Clone)]
struct Fetching(Disk, Arc<Mutex<Option<Listed>>>);

impl Environment for Fetching {
    fn variable(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn variable_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.read(path)
    }

    fn list(&self, _: &ListSource) -> Option<Listed> {
        self.1.lock().unwrap().clone()
    }
}

/// One route, one list that is fetched, and nothing of it yet.
fn fetching() -> (Fetching, Arc<Live>, Arc<Metrics>, Reloader) {
    let environment = Fetching(Disk::default(), Arc::default());
    environment.0.write(
        CONFIG,
        "[routes.a]\npath = \"/a\"\nprovider = \"github\"\nsecrets = [{ label = \"one\", file = \"/old\" }]\n\
         allow_ips = [\"own\"]\n[ip_lists.own]\nurl = \"https://lists.example/a\"\nrefresh = \"6h\"\n",
    );
    environment.0.write("/old", OLD);
    let (reading, outcome) = load(Path::new(CONFIG), &environment);
    let live = Arc::new(Live::new(Arc::new(outcome.unwrap().plan)));
    let metrics = Arc::new(Metrics::new());
    let reloader = Reloader::new(CONFIG.into(), environment.clone(), reading, Arc::clone(&live), Arc::clone(&metrics));
    (environment, live, metrics, reloader)
}

#[test]
fn a_list_arrives_while_what_is_on_the_disk_is_refused() {
    for (from, to) in [("[routes.a]", "[routes.a"), ("\"/a\"", "\"/b\"")] {
        let (environment, live, _metrics, mut reloader) = fetching();
        let allows = |address: &str| {
            let plan = live.plan();
            let allowed = plan.routes[0].allow_ips.as_ref().unwrap();
            !allowed.pending && allowed.contains(address.parse().unwrap())
        };
        let secret = || live.plan().routes[0].ingredients.secrets[0].1.expose().to_vec();
        let before = live.plan().fingerprint.clone();
        environment.0.edit(from, to);
        environment.0.write("/old", NEW);
        assert_eq!([reloader.look(), reloader.look()], [Look::Unsettled, Look::Refused]);
        for network in ["192.0.2.0/24", "198.51.100.0/24"] {
            let entries = vec![network.parse().unwrap()];
            *environment.1.lock().unwrap() = Some(Listed { entries: entries.into(), as_of: 1 });
            assert_eq!(reloader.look(), Look::Applied, "{network}");
        }
        assert!(allows("198.51.100.7") && !allows("192.0.2.7"));
        assert_eq!(secret(), OLD.as_bytes(), "nothing else of what is on the disk");
        assert_eq!(&*live.plan().routes[0].path, "/a");
        assert_ne!(live.plan().fingerprint, before);
        assert_eq!(live.history().last.map(|(outcome, _)| outcome), Some(ReloadOutcome::Refused));
        while reloader.look() != Look::Unchanged {}
        environment.0.edit(to, from);
        assert_eq!([reloader.look(), reloader.look()], [Look::Unsettled, Look::Applied], "the new secret");
        assert_eq!(secret(), NEW.as_bytes());
        assert!(allows("198.51.100.7"));
    }
}

#[test]
fn a_disk_that_is_put_back_after_a_list_arrived_changes_nothing() {
    let (environment, live, _metrics, mut reloader) = fetching();
    environment.0.edit("[routes.a]", "[routes.a");
    assert_eq!([reloader.look(), reloader.look()], [Look::Unsettled, Look::Refused]);
    let entries = vec!["192.0.2.0/24".parse().unwrap()];
    *environment.1.lock().unwrap() = Some(Listed { entries: entries.into(), as_of: 1 });
    assert_eq!(reloader.look(), Look::Applied);
    let plan = live.plan();
    environment.0.edit("[routes.a", "[routes.a]");
    assert_eq!([reloader.look(), reloader.look()], [Look::Unsettled, Look::Restored]);
    assert!(Arc::ptr_eq(&plan, &live.plan()));
}
