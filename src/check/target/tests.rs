//! The measured bypasses, the traffic that must pass, and a differential test against the reference rule.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;

macro_rules! data {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/", $name))
    };
}

fn paths<T: AsRef<str>>(texts: &[T]) -> Vec<RoutePath> {
    texts.iter().map(|text| RoutePath::parse(text.as_ref()).unwrap()).collect()
}

/// Shorthand for a table of routes; the rest is set with the methods below.
#[derive(Clone)]
struct Table {
    framework: Framework,
    base: String,
    assets: String,
    locales: Vec<String>,
    aliases: Vec<RoutePath>,
    routes: Vec<RoutePath>,
}

fn next<T: AsRef<str>>(routes: &[T]) -> Table {
    let routes = paths(routes);
    Table {
        framework: Framework::NextJs,
        base: String::new(),
        assets: String::new(),
        locales: Vec::new(),
        aliases: Vec::new(),
        routes,
    }
}

fn any_app(routes: &[&str]) -> Table {
    Table { framework: Framework::None, ..next(routes) }
}

impl Table {
    fn base(mut self, base: &str) -> Self {
        base.clone_into(&mut self.base);
        self
    }

    fn assets(mut self, assets: &str) -> Self {
        assets.clone_into(&mut self.assets);
        self
    }

    fn locales<T: AsRef<str>>(mut self, locales: &[T]) -> Self {
        self.locales = locales.iter().map(|locale| locale.as_ref().to_owned()).collect();
        self
    }

    fn aliases<T: AsRef<str>>(mut self, aliases: &[T]) -> Self {
        self.aliases = paths(aliases);
        self
    }

    fn compile(&self) -> Result<Targets, Vec<SpecFault>> {
        let Self { framework, base, assets, locales, aliases, routes } = self;
        let (framework, base_path, asset_prefix) = (*framework, base, assets);
        Targets::compile(TargetSpec { framework, base_path, asset_prefix, locales, aliases, routes })
    }

    #[track_caller]
    fn check(&self, cases: &[(&str, Verdict)]) {
        let targets = self.compile().unwrap();
        for (target, expected) in cases {
            assert_eq!(targets.classify(b"GET", target.as_bytes()), *expected, "{target:?}");
        }
    }
}

use TargetFault::{
    Backslash, DotSegment, ForbiddenByte, Fragment, InternalForm, InternalMethod, NotOriginForm, RouteInQuery,
    ShadowOfRoute, TooManyReadings, UnstableEncoding,
};
use Verdict::{Refused, Route, Unmatched};

const SHADOW: Verdict = Refused(ShadowOfRoute);
const NAMED: Verdict = Refused(RouteInQuery);

/// As a request line arrives: one byte a character, as Python's `latin1`.
fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_measured_bypass_gets_the_verdict_it_is_owed() {
    let cases: Value = serde_json::from_str(data!("bypass-cases.json")).unwrap();
    let cases = cases.as_array().unwrap();
    assert_eq!(cases.len(), 671);
    for case in cases {
        let (method, target) = (case["method"].as_str().unwrap(), case["request_target"].as_str().unwrap());
        let mut routes = vec![case["protected"].as_str().unwrap_or("/api/clerk-webhook")];
        let mut aliases = &["/bf/clerk", "/hooks/clerk", "/fb/clerk", "/legacy-hook", "/mwalias"][..];
        if case["protected"].is_string() {
            aliases = &[];
        } else if method != "POST" && target.contains("_next/image") {
            // Three of these ran a handler that is neither the route nor an alias: it has to be protected to be found.
            routes.extend(["/api/grouped", "/api/pdyn/clerk"]);
        }
        let table = next(&routes)
            .base(case["base_path"].as_str().unwrap())
            .assets(case["asset_prefix"].as_str().unwrap_or_default())
            .locales(&strings(&case["locales"]))
            .aliases(aliases);
        let verdict = table.compile().unwrap().classify(method.as_bytes(), &latin1(target));
        let as_owed = match case["rule"].as_str().unwrap() {
            "verify" => verdict == Route(0),
            "reject" => matches!(verdict, Refused(_)),
            "pass" => verdict == Unmatched,
            other => panic!("unknown verdict {other}"),
        };
        assert!(as_owed, "{method} {target:?}: {verdict:?}, but {}", case["rule"]);
    }
}

#[test]
fn legitimate_traffic_passes() {
    let next = next(&["/api/webhooks/clerk", "/api/clerk-webhook"]).locales(&["en", "fr"]);
    let any = Table { framework: Framework::None, ..next.clone() };
    for targets in [next.compile().unwrap(), any.compile().unwrap()] {
        let legitimate = data!("legitimate-targets.txt");
        assert!(legitimate.lines().count() > 50);
        for target in legitimate.lines() {
            for method in [b"GET".as_ref(), b"HEAD"] {
                assert_eq!(targets.classify(method, target.as_bytes()), Unmatched, "{target:?}");
            }
        }
    }
}

#[test]
fn is_never_laxer_than_the_reference_rule_and_stricter_only_for_a_reason() {
    let specs: Value = serde_json::from_str(data!("target-oracle.json")).unwrap();
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    let mut compared = 0_usize;
    for spec in specs.as_array().unwrap() {
        let table = next(&strings(&spec["routes"]))
            .base(spec["base"].as_str().unwrap())
            .assets(spec["assets"].as_str().unwrap_or_default())
            .locales(&strings(&spec["locales"]))
            .aliases(&strings(&spec["aliases"]));
        let targets = table.compile().unwrap();
        for case in spec["cases"].as_array().unwrap() {
            let (method, target) = (case[0].as_str().unwrap(), latin1(case[1].as_str().unwrap()));
            let verdict = targets.classify(method.as_bytes(), &target);
            compared = compared.saturating_add(1);
            // `verify` is written as the index of the route.
            let same = match (case[2].as_str(), verdict) {
                (Some("reject"), Refused(_)) | (Some("pass"), Unmatched) => true,
                (None, Route(route)) => case[2].as_u64() == u64::try_from(route).ok(),
                (Some(_) | None, Refused(_) | Unmatched | Route(_)) => false,
            };
            if same {
                continue;
            }
            let Refused(fault) = verdict else { panic!("laxer: {case} is {verdict:?}") };
            let verify = case[2].is_u64();
            let reason = why_stricter(fault, &target, verify, table.routes.len());
            *reasons
                .entry(reason.unwrap_or_else(|| panic!("stricter without a reason: {case} is {fault:?}")))
                .or_default() += 1;
        }
    }
    assert!(compared >= 7_000, "{compared}");
    assert_eq!(reasons.len(), 10, "a reason that never applies is dead: {reasons:#?}");
}

/// Every committed target, without its query.
fn committed_paths() -> Vec<Vec<u8>> {
    let [oracle, bypass]: [Value; 2] =
        [data!("target-oracle.json"), data!("bypass-cases.json")].map(|text| serde_json::from_str(text).unwrap());
    let text = |value: &Value| latin1(value.as_str().unwrap());
    let oracle = oracle.as_array().unwrap().iter().flat_map(|spec| spec["cases"].as_array().unwrap());
    let mut targets: Vec<Vec<u8>> = oracle.map(|case| text(&case[1])).collect();
    targets.extend(bypass.as_array().unwrap().iter().map(|case| text(&case["request_target"])));
    targets.extend(data!("legitimate-targets.txt").lines().map(|line| line.as_bytes().to_vec()));
    targets.iter().map(|target| target.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap().to_vec()).collect()
}

#[test]
fn the_canonical_form_of_every_committed_target_is_its_own() {
    let mut stable = 0;
    for path in committed_paths() {
        let Ok(once) = canonical::canonical(&path) else { continue };
        assert_eq!(canonical::canonical(&once), Ok(once.clone()), "{}", path.escape_ascii());
        stable += 1;
    }
    assert!(stable > 5_000, "{stable}");
}

#[test]
fn what_passes_is_no_route_in_its_canonical_form_either() {
    let spellings: [&[u8]; 34] = [
        b"/",
        b"//",
        b"%2f",
        b"%5c",
        b"%252F",
        b"%u002f",
        b"%c0%af",
        b"%ef%bc%8f",
        b"api",
        b"Api",
        b"%61pi",
        b"%2561pi",
        b"webhooks",
        b"WEBHOOKS",
        b"web",
        b"hooks",
        b"%77ebhooks",
        b"webhoo%e2%84%aas",
        b"webhook%c5%bf",
        b"clerk",
        b"%63lerk",
        b"cler%u006b",
        b";",
        b";x=1",
        b"%3b",
        b"%3f",
        b"%23",
        b"%00",
        b"%09",
        b"%20",
        b".",
        b"%2e",
        b"%",
        b"en",
    ];
    let targets = next(&["/api/webhooks/clerk", "/hooks/*"]).locales(&["en"]).compile().unwrap();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % below
    };
    // Whole spellings of a route among them, or hardly any would come near to one.
    let near: [&[usize]; 3] = [&[0, 8, 0, 12, 0, 19], &[0, 8, 3, 12, 2, 20], &[0, 33, 0, 10, 0, 16, 0, 21]];
    let mut random = || {
        let mut path = near[draw(near.len())].to_vec();
        for _ in 0..draw(4) {
            let at = draw(path.len());
            match draw(3) {
                0 => path[at] = draw(spellings.len()),
                1 => path.insert(at, draw(spellings.len())),
                _ => drop(path.remove(at)),
            }
            if path.is_empty() {
                path.push(0);
            }
        }
        [b"/".as_slice()]
            .into_iter()
            .chain(path.iter().skip(1).map(|spelling| spellings[*spelling]))
            .collect::<Vec<_>>()
            .concat()
    };
    let random: Vec<Vec<u8>> = std::iter::repeat_with(&mut random).take(30_000).collect();
    let mut verdicts = [0_usize; 3];
    for path in committed_paths().iter().chain(&random) {
        match targets.classify(b"GET", path) {
            Route(_) => verdicts[0] += 1,
            Refused(_) => verdicts[1] += 1,
            Unmatched => {
                let canonical = canonical::canonical(path).unwrap();
                let again = targets.classify(b"GET", &canonical);
                assert!(!matches!(again, Route(_)), "{} is {again:?}", path.escape_ascii());
                verdicts[2] += 1;
            }
        }
    }
    assert!(verdicts.iter().all(|count| *count > 500), "{verdicts:?}");
}

/// Why this module refuses what the reference rule lets pass or verifies: where readers may differ, it fails closed.
fn why_stricter(fault: TargetFault, target: &[u8], verify: bool, routes: usize) -> Option<&'static str> {
    let mut text = target.to_vec();
    for _ in 0..6 {
        text = percent_decoded(&text);
    }
    text.make_ascii_lowercase();
    let has = |needle: &[u8]| memchr::memmem::find(&text, needle).is_some();
    let look_alike =
        text.iter().any(|byte| matches!(byte, 0xC0 | 0xC1 | 0xC4 | 0xC5 | 0xE0 | 0xE2 | 0xEF | 0xF0)) || has(b"%u");
    let dropped = text.iter().any(|byte| matches!(byte, 0x01..=0x20 | 0x7F..));
    match fault {
        DotSegment if has(b"..;") => Some("`..;` is a dot segment for servlet containers"),
        DotSegment if has(b"/.") || has(b".\\") || has(b"\\.") || look_alike => Some(
            "a dot segment behind an encoding is refused wherever it leads, since readers differ in when they resolve it",
        ),
        InternalForm if has(b"url") || has(b"src") || look_alike => {
            Some("the optimizer's own client spells its path plainly, names one source, and never nests")
        }
        InternalMethod => {
            Some("internal paths are found behind any prefixes and look-alikes, not only base path and locale")
        }
        ShadowOfRoute if verify && routes > 1 => {
            Some("under a prefix, the reading of a more specific route would be verified with the wrong secrets")
        }
        ShadowOfRoute if look_alike => Some("some reader decodes %uXXXX, overlong, full-width or case-folding forms"),
        ShadowOfRoute if dropped => Some("some reader strips blanks, control characters or what is not ASCII"),
        ShadowOfRoute if has(b"_next/data/") && target.windows(3).any(|text| text.eq_ignore_ascii_case(b"%2f")) => {
            Some("an encoded slash in the build id is one segment for some readers")
        }
        ShadowOfRoute if has(b"_next/data/") => {
            Some("a build id may have slashes, so a page may begin behind any of them")
        }
        ShadowOfRoute if has(b"_next/image") => {
            Some("an optimizer behind a prefix is looked into as well, and its source is cut at `;`")
        }
        ShadowOfRoute if has(b";") => Some("`;` and what follows it is no part of a segment for servlet containers"),
        _ => None,
    }
}

fn percent_decoded(mut text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    while let [first, rest @ ..] = text {
        let digits = rest.get(..2).filter(|digits| *first == b'%' && digits.iter().all(u8::is_ascii_hexdigit));
        decoded.push(digits.map_or(*first, |digits| u8::from_str_radix(str::from_utf8(digits).unwrap(), 16).unwrap()));
        text = if digits.is_some() { &rest[2..] } else { rest };
    }
    decoded
}

#[test]
fn admits_origin_form_alone() {
    next(&["/hook"]).check(&[
        ("", Refused(NotOriginForm)),
        ("*", Refused(NotOriginForm)),
        ("hook", Refused(NotOriginForm)),
        ("//hook", Refused(NotOriginForm)),
        ("//", Refused(NotOriginForm)),
        ("http://app/hook", Refused(NotOriginForm)),
        ("app:443", Refused(NotOriginForm)),
        ("?x", Refused(NotOriginForm)),
        ("\\hook", Refused(NotOriginForm)),
        (" /hook", Refused(NotOriginForm)),
        ("/", Unmatched),
        ("/?//", Unmatched),
        ("/x//y", Unmatched),
    ]);
}

#[test]
fn admits_printable_ascii_without_fragments_and_backslashes() {
    let targets = next(&["/hook"]).compile().unwrap();
    for byte in 0..=u8::MAX {
        let expected = match byte {
            b'#' => Refused(Fragment),
            b'\\' => Refused(Backslash),
            0x21..=0x7E => Unmatched,
            _ => Refused(ForbiddenByte),
        };
        assert_eq!(targets.classify(b"GET", &[b'/', b'x', byte, b'y']), expected, "{byte:#x} in the path");
        // A route's own query is no exception, but a backslash splits nothing there.
        let expected = if matches!(expected, Refused(Backslash) | Unmatched) { Route(0) } else { expected };
        assert_eq!(
            targets.classify(b"GET", &[b"/hook?x".as_ref(), &[byte]].concat()),
            expected,
            "{byte:#x} in the query"
        );
    }
}

#[test]
fn refuses_dot_segments_at_every_depth_of_decoding() {
    next(&["/hook"]).check(&[
        ("/.", Refused(DotSegment)),
        ("/..", Refused(DotSegment)),
        ("/x/..", Refused(DotSegment)),
        ("/x/../y", Refused(DotSegment)),
        ("/./hook", Refused(DotSegment)),
        ("/x/%2e%2E/hook", Refused(DotSegment)),
        ("/x/.%2e/hook", Refused(DotSegment)),
        ("/x/%252e%252e/y", Refused(DotSegment)),
        ("/x%2f..%2fy", Refused(DotSegment)),
        ("/x%5c..%5cy", Refused(DotSegment)),
        ("/x/%c0%ae%c0%ae/y", Refused(DotSegment)),
        ("/x/%uff0e./y", Refused(DotSegment)),
        ("/x/.%20./y", Refused(DotSegment)),
        ("/x/..;/y", Refused(DotSegment)),
        ("/x/..;v=1/y", Refused(DotSegment)),
        ("/x/..%3b/y", Refused(DotSegment)),
        ("/hook/x/..%23", Refused(DotSegment)),
        ("/hook/x/..%3f/y", Refused(DotSegment)),
        // The rule of the reference drops the empty segment first and so leaves the route by the back door.
        ("/hook/%2f..", Refused(DotSegment)),
        ("/files/...", Unmatched),
        ("/files/..hidden", Unmatched),
        ("/files/a..", Unmatched),
        ("/search?path=../../etc", Unmatched),
        ("/.well-known/x", Unmatched),
    ]);
}

#[test]
fn takes_a_route_in_its_plain_spelling_with_one_slash_more_and_any_query() {
    next(&["/api/Hook"]).check(&[
        ("/api/Hook", Route(0)),
        ("/api/Hook/", Route(0)),
        ("/api/Hook?", Route(0)),
        ("/api/Hook/?x=%zz&y=//..\\", Route(0)),
        ("/api/Hook//", SHADOW),
        ("/api//Hook", SHADOW),
        ("/api/hook", SHADOW),
        ("/API/Hook", SHADOW),
        ("/api/%48ook", SHADOW),
        ("/api/H%6fok", SHADOW),
        ("/api/H%256fok", SHADOW),
        ("/api%2fHook", SHADOW),
        ("/api%5cHook", SHADOW),
        ("/api/Hook%3fx", SHADOW),
        ("/api/Hook/%3fx", SHADOW),
        ("/api/Hook%23x", SHADOW),
        ("/api/Hook%00.png", SHADOW),
        ("/api/Hook%20", SHADOW),
        ("/api/Hoo%09k", SHADOW),
        ("/api/Hook%c2%a0", SHADOW),
        ("/api/Hook%a0", SHADOW),
        ("/api/Hook;x", SHADOW),
        ("/api;x/Hook;y", SHADOW),
        ("/api/Hook%3bx/y", SHADOW),
        ("/api/Hoo%e2%84%aa", SHADOW),
        ("/api/Hoo%u006b", SHADOW),
        ("/api/Hoo%U006b", SHADOW),
        ("/api/Hoo%c1%ab", SHADOW),
        ("/api/Hook/x", Unmatched),
        ("/api/Hookx", Unmatched),
        ("/api/Hook-x", Unmatched),
        ("/api/Hoo", Unmatched),
        ("/x/api/Hook", Unmatched),
        ("/api", Unmatched),
    ]);
}

#[test]
fn refuses_what_does_not_settle_and_what_has_too_many_prefixes() {
    next(&["/hook"]).locales(&["en"]).check(&[
        ("/%25252561", Unmatched),
        ("/%2525252561", Refused(UnstableEncoding)),
        ("/en/en/en/en/en/en/en/x", Unmatched),
        ("/en/en/en/en/en/en/en/en/x", Refused(TooManyReadings)),
        ("/en/en/en/en/en/en/en/hook", SHADOW),
    ]);
}

#[test]
fn the_most_specific_route_wins() {
    next(&["/a/b/*", "/a/b", "/a/*"]).check(&[("/a/x", Route(2)), ("/a/b", Route(1)), ("/a/b/x", Route(0))]);
    next(&["/a/*", "/a/b", "/a/b/*", "/a/b/c/d"]).check(&[
        ("/a", Route(0)),
        ("/a/", Route(0)),
        ("/a/x", Route(0)),
        ("/a/bx", Route(0)),
        ("/a/b", Route(1)),
        ("/a/b/", Route(1)),
        ("/a/b/x", Route(2)),
        ("/a/b/c", Route(2)),
        ("/a/b/c/d", Route(3)),
        ("/a/b/c/d/e", Route(2)),
        ("/ax", Unmatched),
        ("/", Unmatched),
    ]);
}

#[test]
fn a_prefix_takes_plain_paths_alone() {
    next(&["/hooks/*"]).check(&[
        ("/hooks/stripe", Route(0)),
        ("/hooks/stripe.json", Route(0)),
        ("/hooks/stripe;x", Route(0)),
        ("/hooks/a/b/c/", Route(0)),
        ("/hooks?x=//%", Route(0)),
        ("/hooks//stripe", SHADOW),
        ("/hooks/stripe//", SHADOW),
        ("/hooks/a%20b", SHADOW),
        ("/hooks%2fstripe", SHADOW),
        ("/Hooks/stripe", SHADOW),
        ("/hooks.json", SHADOW),
        ("/hooks;x/stripe", SHADOW),
        ("/hooks/../x", Refused(DotSegment)),
        ("/hooks/%2e%2e/x", Refused(DotSegment)),
        ("/hooksx/stripe", Unmatched),
    ]);
}

#[test]
fn under_a_prefix_the_reading_of_another_route_is_refused() {
    next(&["/hooks/*", "/hooks/clerk", "/api/x"]).locales(&["hooks"]).check(&[
        ("/hooks/stripe", Route(0)),
        ("/hooks/stripe.json", Route(0)),
        ("/hooks/clerk", Route(1)),
        ("/hooks/clerk.json", SHADOW),
        ("/hooks/Clerk", SHADOW),
        ("/hooks/clerk;x", SHADOW),
        ("/hooks/clerk/index", SHADOW),
        ("/hooks/api/x", SHADOW),
        ("/hooks/_next/image?url=/api/x", SHADOW),
    ]);
    next(&["/hooks/*", "/hooks"]).check(&[("/hooks/x", Route(0)), ("/hooks", Route(1)), ("/hooks/index", SHADOW)]);
}

#[test]
fn refuses_next_readings_of_a_route() {
    next(&["/api/hook"]).locales(&["en", "fr-FR"]).aliases(&["/old-hook", "/older/*"]).check(&[
        ("/en/api/hook", SHADOW),
        ("/EN/api/hook/", SHADOW),
        ("/fr-fr/api/hook", SHADOW),
        ("/de/api/hook", Unmatched),
        ("/_next/data/ID/api/hook.json", SHADOW),
        ("/_next/data/ID/en/api/hook.json", SHADOW),
        ("/en/_next/data/ID/api/hook", SHADOW),
        ("/_next/data/a%2fb/api/hook.json", SHADOW),
        // A lenient decoder finds a `/` in the build id, and must not hide what a standard one reads behind it.
        ("/_next/data/a%c0%afb/api/h%6fok.json", SHADOW),
        ("/_next/data/a%c0%afb/api/h%256fok.json", SHADOW),
        ("/_NEXT/data/ID/api/hook.json", SHADOW),
        ("/_next/postponed/resume/api/hook", SHADOW),
        ("/_next/data/ID/index/api/hook.json", SHADOW),
        ("/_next/data/ID/INDEX/api/hook.json", SHADOW),
        ("/_next/data/ID/index/index/api/hook.json", SHADOW),
        ("/_next/data/ID/index/en/api/hook.json", SHADOW),
        ("/_next/data/ID/en/index/api/hook.json", SHADOW),
        ("/_next/data/ID/index/old-hook.json", SHADOW),
        ("/_next/data/ID/%69ndex/api/hook.json", SHADOW),
        ("/_next/data/ID/index/api/hook.json/", SHADOW),
        ("/_next/data/ID/_next/data/ID/index/api/hook.json.json", SHADOW),
        ("/_next/postponed/resume/index/api/hook", SHADOW),
        ("/index/api/hook", SHADOW),
        ("/en/index/api/hook", SHADOW),
        ("/indexes/api/hook", Unmatched),
        ("/index", Unmatched),
        ("/index/api/hooks", Unmatched),
        ("/_next/data/ID/api/hooks.json", Unmatched),
        ("/_next/database/ID/api/hook", Unmatched),
        ("/api/hook.json", SHADOW),
        ("/api/hook.rsc", SHADOW),
        ("/api/hook.RSC/", SHADOW),
        ("/api/hook.prefetch.rsc", SHADOW),
        ("/api/hook.segment.rsc", SHADOW),
        ("/api/hook.action", SHADOW),
        ("/api/hook.html", SHADOW),
        ("/api/hook.txt", SHADOW),
        ("/api/hook.body", SHADOW),
        ("/api/hook.meta", SHADOW),
        ("/api/hook.json.rsc", SHADOW),
        ("/api/hook/.json", SHADOW),
        ("/api/hook/.json/", SHADOW),
        ("/api/hook.json/.json", SHADOW),
        ("/api/hook/.json.json", SHADOW),
        ("/api/hook/index/.rsc", SHADOW),
        ("/api/hook/.segments/a.segment.rsc", SHADOW),
        ("/_next/data/ID/_next/data/ID/api/hook/.json.json", SHADOW),
        ("/api/hook.segments/_tree.segment.rsc", SHADOW),
        ("/api/hook.segments/a/b.segment.rsc", SHADOW),
        ("/api/hook/index", SHADOW),
        ("/api/hook/route", SHADOW),
        ("/api/hook/page.rsc", SHADOW),
        ("/api/hook.rsc%3fx", SHADOW),
        ("/api/hook.png", Unmatched),
        ("/api/hook/.png", Unmatched),
        ("/api/hook/x.json", Unmatched),
        ("/api/hook.jsonx", Unmatched),
        ("/api/hook/indexes", Unmatched),
        ("/api/hook.segmentsx", Unmatched),
        ("/index.php/api/hook", Unmatched),
        ("/old-hook", SHADOW),
        ("/OLD-hook.json", SHADOW),
        ("/en/old-hook", SHADOW),
        ("/older", SHADOW),
        ("/older/x", SHADOW),
        ("/old-hooks", Unmatched),
    ]);
}

#[test]
fn refuses_readings_of_other_frameworks_and_passes_those_of_next() {
    any_app(&["/hooks/stripe", "/cgi/hook.php"]).check(&[
        ("/hooks/stripe", Route(0)),
        ("/hooks/stripe/", Route(0)),
        ("/hooks/%73tripe", SHADOW),
        ("/hooks/Stripe", SHADOW),
        ("/hooks/stripe.json", SHADOW),
        ("/hooks/stripe.anything.at.all", SHADOW),
        ("/hooks/stripe.", SHADOW),
        ("/hooks/stripe;jsessionid=1", SHADOW),
        ("/hooks/stripe.php/x", SHADOW),
        ("/hooks/stripe.PHTML/x/y", SHADOW),
        ("/hooks/stripe.aspx/", SHADOW),
        ("/hooks/stripe.d/x", Unmatched),
        ("/(S(lit3py55t21z5v55vlm25s55))/hooks/stripe", SHADOW),
        ("/(a)/index.php5/hooks/stripe", SHADOW),
        ("/(a)/hooks", Unmatched),
        ("/(a/hooks/stripe", Unmatched),
        ("/hooks/stripe/index.php", SHADOW),
        ("/hooks/stripe/default", SHADOW),
        ("/hooks/stripe/index/5", SHADOW),
        ("/hooks/stripe.phar/x", SHADOW),
        ("/hooks/stripe%", SHADOW),
        ("/hooks/stripe%2", SHADOW),
        ("/hooks/stripe/%", SHADOW),
        ("/hooks/stripe%x/", SHADOW),
        ("/hooks/stripe%2Dx", Unmatched),
        ("/hooks/@@stripe", SHADOW),
        ("/hooks/@xstripe", Unmatched),
        ("/hooks/str@@ipe", Unmatched),
        ("/%40%40hooks/stripe", SHADOW),
        ("/hooks/@stripe", Unmatched),
        ("/index.php/hooks/stripe", SHADOW),
        ("/App.PHP/hooks/stripe", SHADOW),
        ("/public/index.php/hooks/stripe", SHADOW),
        ("/a/b.php/c.php/d/e.pl/hooks/stripe", SHADOW),
        ("/app/(S(lit3py55t21z5v55vlm25s55))/hooks/stripe", SHADOW),
        ("/public/index.php/hooks", Unmatched),
        ("/public/index.php", Unmatched),
        ("/public/hooks/stripe", Unmatched),
        ("/cgi/hook.php", Route(1)),
        ("/cgi/hook.php/path/info", SHADOW),
        ("/cgi/HOOK.PHP/path", SHADOW),
        ("/cgi/hook-php", SHADOW),
        ("/cgi/hook-php/path", Unmatched),
        ("/cgi/hook", SHADOW),
        ("/CGI/hook/", SHADOW),
        ("/cgi/%68ook", SHADOW),
        ("/cgi/hook.html", SHADOW),
        ("/cgi", Unmatched),
        ("/hooks/stripe/x", Unmatched),
        ("/hooks/stripes", Unmatched),
        ("/hooks/stripe/indexes", Unmatched),
        ("/index.phpx/hooks/stripe", Unmatched),
        ("/_next/data/ID/hooks/stripe", Unmatched),
        ("/_next/image?url=/hooks/stripe", NAMED),
    ]);
    assert_eq!(any_app(&["/hook"]).compile().unwrap().classify(b"POST", b"/_next/image"), Unmatched);
}

#[test]
fn a_route_counts_as_written_and_as_other_servers_serve_it() {
    any_app(&["/shop/index.php", "/index.php/in/*", "/blog/My-Hook_x"]).check(&[
        ("/shop/index.php", Route(0)),
        ("/shop/", SHADOW),
        ("/shop", SHADOW),
        ("/shop/x", Unmatched),
        ("/index.php/in/x", Route(1)),
        ("/in/x", SHADOW),
        ("/%69n/x", SHADOW),
        // With the directory written out, a front controller in it takes what follows.
        ("/blog/index.php/My-Hook_x", SHADOW),
        ("/blog/wp-signup.php/My-Hook_x", SHADOW),
        ("/blog/index.php/index.php/My-Hook_x", SHADOW),
        ("/blog/index.php/other", Unmatched),
        // Some take all punctuation for the same.
        ("/blog/My_Hook_x", SHADOW),
        ("/blog/my.hook~x", SHADOW),
        ("/blog/MyHookx", Unmatched),
        ("/blog/My/Hook_x", Unmatched),
    ]);
    next(&["/api/my-hook"]).check(&[("/api/my_hook", Unmatched)]);
    // Without its script this one is the page of all pages.
    any_app(&["/index.php"]).check(&[("/", Unmatched), ("/index.php", Route(0)), ("/index.php/x", SHADOW)]);
}

/// Each verdict for POST and for GET.
#[track_caller]
fn check_queries(table: &Table, cases: &[(&str, Verdict, Verdict)]) {
    let targets = table.compile().unwrap();
    for (target, post, get) in cases {
        assert_eq!(targets.classify(b"POST", target.as_bytes()), *post, "POST {target:?}");
        assert_eq!(targets.classify(b"GET", target.as_bytes()), *get, "GET {target:?}");
        assert_eq!(
            targets.classify(method_asked(b"GET", true), target.as_bytes()),
            *post,
            "GET with a body, {target:?}"
        );
    }
}

#[test]
fn refuses_a_query_that_makes_a_front_controller_run_a_route() {
    let table = any_app(&["/hook", "/shop/wp-json/pay/v1/stripe"]).base("/b").aliases(&["/old/hook"]);
    check_queries(
        &table,
        &[
            ("/b/?q=/hook", NAMED, NAMED),
            ("/b/index.php?x=1&anything=/hook", NAMED, NAMED),
            ("/?r=/hook", NAMED, NAMED),
            ("/b/?q=%2Fhook", NAMED, NAMED),
            ("/b/?q=%252fHO%4FK/", NAMED, NAMED),
            ("/b/?q=\\hook", NAMED, NAMED),
            ("/b/?q=x;q=/hook", NAMED, NAMED),
            ("/b/?q=/hook.json", NAMED, NAMED),
            ("/b/?q=/hook%26x", NAMED, NAMED),
            ("/b/?q=/hook%3fx", NAMED, NAMED),
            ("/b/?q=/b/index.php/hook", NAMED, NAMED),
            ("/b/?q=old/hook", NAMED, NAMED),
            ("/b/index.php?/hook", NAMED, NAMED),
            ("/b/index.php?/hook&x", NAMED, NAMED),
            ("/b/index.php?/hook=", NAMED, NAMED),
            ("/b/index.php?old/hook", NAMED, NAMED),
            // A word alone is a path to a router's parameter, but people search for words.
            ("/b/?q=hook", NAMED, Unmatched),
            ("/b/?Route=HOOK", NAMED, Unmatched),
            ("/b/settings?tab=hook", Unmatched, Unmatched),
            ("/b/?hook", NAMED, Unmatched),
            ("/b/?hook/index/5", NAMED, NAMED),
            ("/b/?%71=hook", NAMED, Unmatched),
            ("/b/?+q=hook", NAMED, Unmatched),
            ("/b/?q%00x=hook", NAMED, Unmatched),
            ("/b/?.url=hook", NAMED, Unmatched),
            ("/b/?rest%5broute=hook", NAMED, Unmatched),
            ("/b/?page=hook", NAMED, Unmatched),
            // People name files.
            ("/b/repo?file=old/hook", NAMED, Unmatched),
            ("/b/repo?file=old/hook.ts", NAMED, Unmatched),
            ("/b/?shop=x&old=hook", NAMED, NAMED),
            // A rewrite rule makes a parameter of the path.
            ("/b/hook&", SHADOW, SHADOW),
            ("/b/hook&a=b", SHADOW, SHADOW),
            ("/b/hook%26a=b", SHADOW, SHADOW),
            ("/b/x&url=/hook", NAMED, NAMED),
            ("/b/x%26url=/hook", NAMED, NAMED),
            ("/b/x%26url=%252fhook", NAMED, NAMED),
            ("/b/x&url=hook", NAMED, NAMED),
            ("/b/x&y=z", Unmatched, Unmatched),
            ("/b/black&white", Unmatched, Unmatched),
            // What is asked for counts from where the front controller lies.
            ("/b/shop/?url=/wp-json/pay/v1/stripe", NAMED, NAMED),
            ("/b//shop//x?url=/wp-json/pay/v1/stripe", NAMED, NAMED),
            ("/b/%73hop/x?url=/wp-json/pay/v1/stripe", NAMED, NAMED),
            ("/b/shop/x%2fy?url=/wp-json/pay/v1/stripe", NAMED, NAMED),
            ("/b/shop%2fx%252fy?url=/wp-json/pay/v1/stripe", NAMED, NAMED),
            ("/b/shop/x/?url=../wp-json/pay/v1/stripe", NAMED, NAMED),
            ("/b/shop/index.php?url=wp-json/pay/v1/stripe", NAMED, NAMED),
            ("/b/?rest_route=/pay/v1/stripe", NAMED, NAMED),
            ("/b/shop/?rest_route=pay/v1/stripe/", NAMED, NAMED),
            ("/b/shop/?rest_route=/v1/stripe", Unmatched, Unmatched),
            ("/b/shop/?rest_route=/pay/v1/stripes", Unmatched, Unmatched),
            // A route's own query may name the route, but not another one, whose secrets are others.
            ("/b/hook?q=/hook", Route(0), Route(0)),
            ("/b/hook?q=/hooks/x&y=a/b", Route(0), Route(0)),
            ("/b/hook?rest_route=/pay/v1/stripe", NAMED, NAMED),
            ("/b/hook?q=/old/hook", NAMED, NAMED),
            ("/b/search?q=", Unmatched, Unmatched),
            ("/b/hook/x??y", Unmatched, Unmatched),
            ("/b/hook/x?q=/", Unmatched, Unmatched),
            ("/b/search?q=/&&=&x", Unmatched, Unmatched),
            ("/b/search?q=/b", Unmatched, Unmatched),
            ("/b/search?q=/h+ook", NAMED, NAMED),
            ("/b/search?q=%25252525252f", Unmatched, Unmatched),
            ("/b/search?q=/a.php/b.php/c.php/j", Unmatched, Unmatched),
            (
                "/b/search?q=/a.php/b.php/c.php/d.php/e.php/f.php/g.php/h.php/i.php/j",
                Refused(TooManyReadings),
                Refused(TooManyReadings),
            ),
            ("/b/login?next=/b/about", Unmatched, Unmatched),
        ],
    );
    // What begins at the root is everything: a way back to the root is none to a route.
    check_queries(
        &any_app(&["/"]),
        &[
            ("/login?next=/", Unmatched, Unmatched),
            ("/login?next=/x/..", Unmatched, Unmatched),
            ("/login?q=index.php", NAMED, Unmatched),
        ],
    );
    let many = |count: usize| format!("/search?{}", "a=b&".repeat(count));
    let several = any_app(&["/hook", "/other"]).compile().unwrap();
    // What is behind the last `&` counts.
    assert_eq!(several.classify(b"GET", many(255).as_bytes()), Unmatched);
    assert_eq!(several.classify(b"GET", many(256).as_bytes()), Refused(TooManyReadings));
    let in_path = |count: usize| format!("/x{}", "&y".repeat(count));
    assert_eq!(several.classify(b"GET", in_path(16).as_bytes()), Unmatched);
    assert_eq!(several.classify(b"GET", in_path(17).as_bytes()), Refused(TooManyReadings));
    assert_eq!(next(&["/hook"]).compile().unwrap().classify(b"GET", in_path(17).as_bytes()), Unmatched);
    // With one route, its own query leads nowhere else.
    check_queries(&any_app(&["/hook"]).aliases(&["/old/hook"]), &[("/hook?q=/old/hook", Route(0), Route(0))]);
    // Next.js has no such parameter.
    check_queries(&next(&["/hook"]), &[("/?q=/hook", Unmatched, Unmatched)]);
}

#[test]
fn refuses_a_query_whose_dot_segments_lead_to_a_route() {
    check_queries(
        &any_app(&["/hook", "/shop/wp-json/pay/v1/stripe"]).base("/b"),
        &[
            ("/b/?/x/../hook", NAMED, NAMED),
            ("/b/?/../hook", NAMED, NAMED),
            ("/b/?q=x/%2e%2e/hook", NAMED, NAMED),
            ("/b/?q=/shop/../wp-json/pay/v1/stripe", NAMED, NAMED),
            // A reader resolves dots in what it has left, and each cuts off something else.
            ("/b/?/hook/%2e%3f%2e", NAMED, NAMED),
            ("/b/?q=/hook/.%3fx", NAMED, NAMED),
            ("/b/?q=/hook/.%3fx/y", NAMED, NAMED),
            ("/b/?q=/hook/.%23x/y", NAMED, NAMED),
            ("/b/?q=/hook/.%00x/y", NAMED, NAMED),
            ("/b/?q=/hook/.%3bx", NAMED, NAMED),
            ("/b/?q=/hook/.%3bx/y", NAMED, NAMED),
            ("/b/?q=/hook/x/..%3fy/z", NAMED, NAMED),
            ("/b/?q=/x/..%3by/hook", NAMED, NAMED),
            ("/b/?q=/x%3f/../../hook", NAMED, NAMED),
            ("/b/?q=/hook/x%3f/..", NAMED, NAMED),
            ("/b/?q=/hook/x/.%3fy/..", NAMED, NAMED),
            ("/b/?q=/hook/x/.%3fy", Unmatched, Unmatched),
            ("/b/x%26url=/hook/.%3fy", Refused(DotSegment), Refused(DotSegment)),
        ],
    );
}

#[test]
fn refuses_a_query_that_costs_more_to_read_than_any_page_has() {
    let targets = any_app(&["/hook", "/other"]).compile().unwrap();
    let verdict = |query: &str| targets.classify(b"GET", format!("/shop/x?{query}").as_bytes());
    // A list of scripts, as a file manager sends it, and a very long address.
    assert_eq!(verdict(&"file[]=%2Fapp%2Fa.php&".repeat(200)), Unmatched);
    assert_eq!(verdict(&format!("next={}", "/about".repeat(2000))), Unmatched);
    // Too many comparisons, and too many bytes.
    let odd = |count: usize| "q=/.pl/.pl/.pl/.pl/.pl/.pl/x&".repeat(count);
    assert_eq!(verdict(&odd(10)), Unmatched);
    assert_eq!(verdict(&odd(250)), Refused(TooManyReadings));
    let long = |count: usize| format!("next={}&", "/about".repeat(1000)).repeat(count);
    assert_eq!(verdict(&long(2)), Unmatched);
    assert_eq!(verdict(&long(10)), Refused(TooManyReadings));
    // What was seen before has its name, and nothing hides behind.
    for much in [odd(250), long(10)] {
        assert_eq!(verdict(&format!("q=/hook&{much}")), Refused(RouteInQuery));
        assert_eq!(verdict(&format!("{much}q=/hook")), Refused(TooManyReadings));
    }
}

#[test]
fn with_a_base_path_a_route_is_reached_below_it_and_refused_without() {
    next(&["/api/hook", "/in/*"]).base("/base").locales(&["en"]).aliases(&["/old"]).check(&[
        ("/base/api/hook", Route(0)),
        ("/base/in/x", Route(1)),
        ("/base/in", Route(1)),
        ("/api/hook", SHADOW),
        ("/in/x", SHADOW),
        ("/Base/api/hook", SHADOW),
        ("/base/base/api/hook", SHADOW),
        ("/base/en/api/hook", SHADOW),
        ("/en/base/api/hook", SHADOW),
        ("/en/api/hook", SHADOW),
        ("/base/_next/data/ID/api/hook.json", SHADOW),
        ("/_next/data/ID/base/api/hook.json", SHADOW),
        ("/base//api/hook", SHADOW),
        ("/base/old", SHADOW),
        ("/old", SHADOW),
        ("/base/en/old", SHADOW),
        ("/basement/api/hook", Unmatched),
        ("/base", Unmatched),
        ("/base/about", Unmatched),
    ]);
}

#[test]
fn the_root_can_be_a_route_or_a_prefix() {
    next(&["/"]).locales(&["en"]).check(&[
        ("/", Route(0)),
        ("/?x", Route(0)),
        ("/en", SHADOW),
        ("/index", SHADOW),
        ("/index.rsc", SHADOW),
        ("/en.json", SHADOW),
        ("/en%3fx", SHADOW),
        ("/english", Unmatched),
        ("/_next/data/ID/index.json", SHADOW),
        ("/%20", SHADOW),
        ("/x", Unmatched),
    ]);
    next(&["/"]).base("/base").check(&[
        ("/base", Route(0)),
        ("/base/", Route(0)),
        ("/", SHADOW),
        ("/base/x", Unmatched),
    ]);
    next(&["/*", "/hook"]).check(&[
        ("/", Route(0)),
        ("/a/b", Route(0)),
        ("/hook", Route(1)),
        ("/hook.json", SHADOW),
        ("/%61", SHADOW),
    ]);
}

#[test]
fn internal_paths_of_next_take_get_and_head_alone() {
    let targets = next(&["/hook"]).base("/base").locales(&["en"]).compile().unwrap();
    for target in [
        "/_next/image?url=/a.png",
        "/_next/image/?url=/a.png",
        "/base/_next/image",
        "/base/en/_next/image",
        "/en/base/_NEXT/Image",
        "/cdn/_next/image?url=/a.png",
        "/cdn/deep/_next/data/ID/about.json",
        "/_next/data",
        "/_next/data/ID/about.json",
        "/_next/data/ID/caf%C3%A9.json",
    ] {
        for method in [b"GET".as_ref(), b"HEAD", method_asked(b"GET", false)] {
            assert_eq!(targets.classify(method, target.as_bytes()), Unmatched, "{target}");
        }
        for method in [b"POST".as_ref(), b"get", b"OPTIONS", b"", b"GET ", method_asked(b"GET", true)] {
            assert_eq!(targets.classify(method, target.as_bytes()), Refused(InternalMethod), "{target}");
        }
    }
    for target in ["/_next/database", "/_next/static/data", "/_next", "/__nextjs_original-stack-frames"] {
        assert_eq!(targets.classify(b"POST", target.as_bytes()), Unmatched, "{target}");
    }
}

#[test]
fn the_image_optimizer_is_taken_in_its_own_form_alone() {
    // `.json` goes where data is asked for, and next 14.2 looks at the beginning of the name alone: all of these ran the route
    // that `url` names.
    let targets = next(&["/api/hook"]).base("/base").locales(&["en"]).compile().unwrap();
    for target in [
        "/_next/data/ID/_next/image.json?url=%2Fapi%2Fhook",
        "/_next/data/ID/_next/image?url=/a.png",
        "/_next/data/ID/index/_next/image.json",
        "/base/_next/data/ID/_next/image.json",
        "/_next/data/ID/cdn/_next/image.json",
        "/_next/data/ID/_next/data/ID/_next/image.json.json",
        "/_next/data/rel/1.2/_next/image.json",
        "/_next/imagex?url=%2Fapi%2Fhook",
        "/_next/image-anything/at/all",
        "/_next/image.json",
        "/_next/image%2578",
        "/_next/images",
        "/_next/image/x",
        "/cdn/_next/imagex",
    ] {
        for method in [b"GET".as_ref(), b"HEAD"] {
            assert_eq!(targets.classify(method, target.as_bytes()), Refused(InternalForm), "{target}");
        }
        assert_eq!(targets.classify(b"POST", target.as_bytes()), Refused(InternalMethod), "POST {target}");
    }
    let inside = "/_next/image?url=%2F_next%2Fdata%2FID%2F_next%2Fimage.json%3Furl%3D%252Fapi%252Fhook";
    assert_eq!(targets.classify(b"GET", inside.as_bytes()), Refused(InternalForm));
}

#[test]
fn internal_paths_are_found_behind_any_prefix() {
    // An asset prefix is a rewrite to them, and so are those that apps write themselves.
    next(&["/api/hook"]).base("/base").check(&[
        ("/cdn/_next/image?url=%2Fapi%2Fhook", SHADOW),
        ("/CDN/_NEXT/image?url=%2Fapi%2Fhook", SHADOW),
        ("/cdn/deep/er/_next/image?url=%2Fbase%2Fapi%2Fhook", SHADOW),
        ("/cdn/_next/data/ID/api/hook.json", SHADOW),
        ("/cdn/_next/postponed/resume/api/hook", SHADOW),
        ("/cdn/_next/image?url=%2Fa.png", Unmatched),
        ("/cdn/_next/static/chunks/main.js", Unmatched),
        ("/cdn/_next/static/api/hook.json", Unmatched),
        ("/cdn/_nextx/image?url=%2Fapi%2Fhook", Unmatched),
    ]);
}

#[test]
fn a_build_id_may_have_slashes() {
    next(&["/api/hook", "/in/*"]).locales(&["en"]).check(&[
        ("/_next/data/rel/1.2/api/hook.json", SHADOW),
        ("/_next/data/rel/1.2/index/api/hook.json", SHADOW),
        ("/_next/data/a/b/c/en/api/hook.json", SHADOW),
        ("/_next/data/rel/1.2/in/x.json", SHADOW),
        ("/_next/data/ID/docs/api/hook.json", SHADOW),
        ("/_next/data/rel/1.2/api/hooks.json", Unmatched),
        ("/_next/data/rel/1.2/api/hook/x.json", Unmatched),
        ("/_next/data/rel/1.2/index.json", Unmatched),
    ]);
    // A root in a locale has no segment of its own.
    next(&["/"]).locales(&["en"]).check(&[
        ("/_next/data/rel/1.2/index/en/", SHADOW),
        ("/_next/data/rel/1.2/en.json", SHADOW),
        ("/_next/data/rel/1.2/english.json", Unmatched),
    ]);
}

#[test]
fn an_asset_prefix_is_stripped_as_a_locale_is() {
    next(&["/api/hook"]).assets("/a/B").locales(&["en"]).aliases(&["/old"]).check(&[
        ("/a/b/api/hook", SHADOW),
        ("/A/B/api/hook/", SHADOW),
        ("/a/b/en/api/hook", SHADOW),
        ("/en/a/b/api/hook", SHADOW),
        ("/a/b/old", SHADOW),
        ("/a/b/api/hook.json", SHADOW),
        ("/_next/image/?url=%2Fa%2Fb%2Fapi%2Fhook%2F", SHADOW),
        ("/a/b/_next/data/ID/api/hook.json", SHADOW),
        ("/a/api/hook", Unmatched),
        ("/a/b", Unmatched),
        ("/a/b/x", Unmatched),
        ("/api/hook", Route(0)),
    ]);
}

#[test]
fn an_image_whose_source_is_a_route_is_refused() {
    next(&["/api/hook"]).base("/base").locales(&["en"]).aliases(&["/old"]).check(&[
        ("/_next/image?url=%2Flogo.png&w=640&q=75", Unmatched),
        ("/_next/image?url=https%3A%2F%2Fimg.example.com%2Fa%2Fb.png%3Fx%3D%2Fapi%2Fhook", Unmatched),
        ("/_next/image?src=/api/hook", Unmatched),
        ("/_next/image?w=1&url=/api/hooks", Unmatched),
        ("/_next/image?url=%2Fimg%3Fpath%3D..%2F..%2Fapi%2Fhook", Unmatched),
        ("/_next/image", Unmatched),
        ("/_next/image?url", Unmatched),
        ("/_next/image?url=/a/b/c:/api/hook", Unmatched),
        ("/_next/image?url=/api/hook", SHADOW),
        ("/_next/image?w=1&url=%2Fapi%2Fhook", SHADOW),
        ("/_next/image?%75rl=/api/hook", SHADOW),
        ("/_next/image?URL[]=/api/hook", SHADOW),
        ("/_next/image?url=%252Fapi%252Fhook", SHADOW),
        ("/_next/image?url=/base/api/hook?x", SHADOW),
        ("/_next/image?url=/en/api/%68ook", SHADOW),
        ("/_next/image?url=api/hook%23x", SHADOW),
        ("/_next/image?url=+/api/hook", SHADOW),
        ("/_next/image?url=/api\\hook", SHADOW),
        ("/_next/image?url=/api/ho%09ok", SHADOW),
        ("/_next/image?url=https://app.example.com/api/hook", SHADOW),
        ("/_next/image?url=//app.example.com/base/api/hook", SHADOW),
        ("/_next/image?url=http:api/hook", SHADOW),
        ("/_next/image?url=https://app.example.com/x/api/hook", SHADOW),
        ("/_next/image?url=/api/ho+ok", SHADOW),
        ("/_next/image?url=/old", SHADOW),
        ("/_next/image?url=/_next/data/ID/api/hook.json", SHADOW),
        ("/_next/image?url=%2F_next%2Fdata%2FID%2Findex%2Fapi%2Fhook.json&w=640&q=75", SHADOW),
        ("/_next/image?url=%2Fapi%2Fhook%2F.json", SHADOW),
        ("/_next/image?url=/x/../api/hook", Refused(DotSegment)),
        // Cut at the decoded `?` alone, this is `/x`.
        ("/_next/image?url=/x%253f/../api/hook", Refused(DotSegment)),
        ("/_next/image?url=/a.png&url=/api/hook", Refused(InternalForm)),
        ("/_next/image?url=%2F_next%2Fimage%3Furl%3D%2Fapi%2Fhook", Refused(InternalForm)),
        ("/_next/image?url=/base/_next/image/", Refused(InternalForm)),
        ("/_next/%69mage?url=/a.png", Refused(InternalForm)),
        ("/_next//image?url=/a.png", Refused(InternalForm)),
        ("/_next/image%3furl=/api/hook", Refused(InternalForm)),
        ("/_next/image;x?url=/a.png", Refused(InternalForm)),
        ("/_next/image?url=%2525252525", Refused(UnstableEncoding)),
    ]);
}

#[test]
fn says_what_is_wrong_with_a_spec() {
    use SpecFault::{AliasInsideRoute, BasePath, Collision, Locale, RouteReadsAsAlias, Shadow};
    let faults = |table: Table| table.compile().unwrap_err();
    for (table, expected) in [
        (next(&["/a", "/b", "/A"]), vec![Collision(0, 2)]),
        (next(&["/a/*", "/A/*", "/a/*"]), vec![Collision(0, 1), Collision(0, 2)]),
        (next(&["/api/x", "/en/api/x"]).locales(&["en"]), vec![Shadow(1, 0)]),
        (next(&["/api/*", "/en/api/*"]).locales(&["en"]), vec![Shadow(1, 0)]),
        (next(&["/api/x.json", "/api/x"]), vec![Shadow(0, 1)]),
        (next(&["/a", "/a/index"]), vec![Shadow(1, 0)]),
        (next(&["/x", "/base/x"]).base("/base"), vec![Shadow(0, 1), Shadow(1, 0)]),
        (next(&["/en/old"]).locales(&["en"]).aliases(&["/old"]), vec![RouteReadsAsAlias(0)]),
        (next(&["/b", "/a/*"]).aliases(&["/x", "/A/old"]), vec![AliasInsideRoute(1, 1)]),
        (next(&["/a"]).aliases(&["/a"]), vec![AliasInsideRoute(0, 0)]),
        (next(&["/a"]).locales(&["en", "", "e/n", "..", "fr-FR", "zh_Hant"]), vec![Locale(1), Locale(2), Locale(3)]),
        (next(&["/a"]).base("/"), vec![BasePath(RoutePathError::TrailingSlash)]),
        (next(&["/a"]).base("base"), vec![BasePath(RoutePathError::NoLeadingSlash)]),
        (next(&["/a"]).base("/base/*"), vec![BasePath(RoutePathError::Wildcard)]),
        (
            next(&["/a", "/a"]).base("/b/").locales(&["%"]),
            vec![BasePath(RoutePathError::TrailingSlash), Locale(0), Collision(0, 1)],
        ),
        (any_app(&["/a", "/a.json"]), vec![Shadow(1, 0)]),
    ] {
        let description = format!("{:?}", table.routes);
        assert_eq!(faults(table), expected, "{description}");
    }
    for fine in [
        next(&["/a", "/a/*", "/a/b", "/a/b/*"]),
        next(&["/*", "/a", "/"]),
        next(&["/a/*", "/a/index.json"]),
        next(&["/a/b"]).aliases(&["/a/*"]),
        any_app(&["/a/*", "/a/b.php"]),
        next(&["/en/a"]).base("/base").locales(&["en"]),
        next::<&str>(&[]),
    ] {
        assert!(fine.compile().is_ok(), "{:?}: {:?}", fine.routes, fine.compile());
    }
}

#[test]
fn has_a_verdict_for_every_sequence_of_bytes() {
    let tables = [
        next(&["/a/*", "/a/b", "/c"]).base("/b").locales(&["a", "en"]).aliases(&["/d"]).compile().unwrap(),
        any_app(&["/", "/a.php"]).compile().unwrap(),
        next(&["/*"]).compile().unwrap(),
        next::<&str>(&[]).compile().unwrap(),
    ];
    let pieces: Vec<&[u8]> = [
        "/",
        "//",
        "a",
        "b",
        "c",
        ".",
        "..",
        "%",
        "%2",
        "%2f",
        "%25",
        "%u0",
        "%u002f",
        "%uD800",
        "%c0",
        "%af",
        ";",
        "?",
        "#",
        "\\",
        "&",
        "=",
        "url=",
        "_next",
        "/_next/image?",
        "/_next/data/",
        ".json",
        ".segments",
        "/index",
        ".php",
        "en",
        "+",
        ":",
    ]
    .iter()
    .map(|piece| piece.as_bytes())
    .chain([b"\0".as_ref(), b"\x7f", b"\x80", b"\xC0", b"\xAF", b"\xEF\xBC", b"\xFF"])
    .collect();
    let mut state = 42_u64;
    for _ in 0..150_000 {
        let mut target = b"/".to_vec();
        for _ in 0..8 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            target.extend_from_slice(pieces[usize::try_from(state >> 33).unwrap() % pieces.len()]);
        }
        for targets in &tables {
            let verdict = targets.classify(b"GET", &target);
            // What is taken is plain, so that what is forwarded means to everyone what it means here.
            if let Route(_) = verdict {
                let path = target.split(|byte| *byte == b'?').next().unwrap();
                assert!(path.iter().all(|byte| byte.is_ascii_graphic() && !b"%\\#".contains(byte)), "{target:?}");
                assert!(!canonical::has_dot_segment(path), "{target:?}");
                assert!(!path.windows(2).any(|pair| pair == b"//"), "{target:?}");
            }
        }
    }
}

#[test]
fn every_fault_has_its_own_name() {
    let faults = [
        NotOriginForm,
        ForbiddenByte,
        Fragment,
        Backslash,
        DotSegment,
        UnstableEncoding,
        TooManyReadings,
        ShadowOfRoute,
        RouteInQuery,
        InternalMethod,
        InternalForm,
    ];
    let names: std::collections::BTreeSet<_> = faults.iter().map(|fault| fault.code()).collect();
    assert_eq!(names.len(), faults.len());
}

#[test]
fn every_fault_says_why_in_words_of_its_own() {
    let mut said: Vec<_> = TargetFault::ALL.iter().map(|fault| fault.why()).collect();
    assert!(said.iter().all(|why| why.len() >= 12), "{said:?}");
    said.sort_unstable();
    said.dedup();
    assert_eq!(said.len(), TargetFault::ALL.len());
}

#[test]
fn every_fault_of_a_specification_says_why_in_words_of_its_own() {
    use SpecFault::{AliasInsideRoute, AssetPrefix, BasePath, Collision, Locale, RouteReadsAsAlias, Shadow};
    let error = RoutePath::parse("x").unwrap_err();
    let faults = [
        BasePath(error),
        AssetPrefix(error),
        Locale(0),
        Collision(0, 1),
        Shadow(0, 1),
        RouteReadsAsAlias(0),
        AliasInsideRoute(0, 1),
    ];
    let mut said: Vec<_> = faults.iter().map(ToString::to_string).collect();
    assert!(said.iter().all(|why| why.len() > 30), "{said:?}");
    said.sort_unstable();
    said.dedup();
    assert_eq!(said.len(), faults.len());
}
