//! Request targets against the independent rule of [`crate::paths`].
//!
//! The first byte chooses the routing table, the second the method; the rest is the target.

use std::sync::OnceLock;

use hookward::check::target::{Framework, RoutePath, TargetSpec, Targets, Verdict};

use crate::paths::{self, Rule, decoded, segments};

const RULES: &[Rule] = &[
    Rule {
        nextjs: true,
        base: "",
        assets: "/cdn/x",
        locales: &["en", "fr", "sk"],
        aliases: &[],
        routes: &["/api/webhooks/clerk", "/api/clerk-webhook"],
    },
    Rule {
        nextjs: true,
        base: "/base",
        assets: "",
        locales: &["en", "fr"],
        aliases: &["/hooks/clerk", "/legacy-hook"],
        routes: &["/api/webhooks/clerk"],
    },
    Rule {
        nextjs: true,
        base: "",
        assets: "",
        locales: &[],
        aliases: &["/bf/clerk"],
        routes: &["/api/hooks/*", "/api/hooks/special/deep", "/api/hooks/inner/*", "/api/clerk"],
    },
    Rule {
        nextjs: true,
        base: "/app/web",
        assets: "",
        locales: &["en-US"],
        aliases: &[],
        routes: &["/api/Webhooks/Clerk", "/v1/in/*"],
    },
    Rule { nextjs: true, base: "", assets: "", locales: &["de"], aliases: &[], routes: &["/hook/*"] },
    Rule { nextjs: true, base: "", assets: "", locales: &["en"], aliases: &[], routes: &["/", "/api/hook"] },
    Rule {
        nextjs: false,
        base: "",
        assets: "",
        locales: &["en"],
        aliases: &["/old/*"],
        routes: &["/api/hook", "/in/*"],
    },
    Rule { nextjs: false, base: "/b", assets: "", locales: &[], aliases: &[], routes: &["/hook.php"] },
];
const METHODS: [&[u8]; 6] = [b"POST", b"GET", b"HEAD", b"PUT", b"QUERY", b"post"];

fn tables() -> &'static [Targets] {
    static TABLES: OnceLock<Vec<Targets>> = OnceLock::new();
    TABLES.get_or_init(|| {
        let paths = |texts: &[&str]| texts.iter().map(|text| RoutePath::parse(text).unwrap()).collect::<Vec<_>>();
        let table = |rule: &Rule| {
            let locales: Vec<String> = rule.locales.iter().map(|locale| (*locale).to_owned()).collect();
            Targets::compile(TargetSpec {
                framework: if rule.nextjs { Framework::NextJs } else { Framework::None },
                base_path: rule.base,
                asset_prefix: rule.assets,
                locales: &locales,
                aliases: &paths(rule.aliases),
                routes: &paths(rule.routes),
            })
            .unwrap()
        };
        RULES.iter().map(table).collect()
    })
}

pub fn run(data: &[u8]) {
    let [table, method, target @ ..] = data else { return };
    let index = usize::from(*table) % RULES.len();
    let (rule, targets) = (&RULES[index], &tables()[index]);
    let method = METHODS[usize::from(*method) % METHODS.len()];
    let shown = || (index, String::from_utf8_lossy(method), String::from_utf8_lossy(target));

    let (expected, found) = (rule.classify(method, target), targets.classify(method, target));
    let never_laxer = match (expected, found) {
        (_, Verdict::Refused(_)) | (paths::Verdict::Pass, Verdict::Unmatched) => true,
        (paths::Verdict::Route(expected), Verdict::Route(found)) => expected == found,
        _ => false,
    };
    assert!(never_laxer, "laxer than the rule: {found:?}, not {expected:?}: {:?}", shown());

    let path = target.split(|byte| *byte == b'?').next().unwrap_or(&[]);
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_');
    // Other frameworks may take their path from the query.
    let query = target.get(path.len()..).unwrap_or(&[]);
    let plain = path.iter().all(is_plain)
        && (rule.nextjs || query.iter().all(|byte| is_plain(byte) || matches!(byte, b'?' | b'&' | b'=')));
    // Behind other frameworks the name of an index file may stand for its directory: the rule leaves that to the strict side.
    let is_file = !rule.nextjs
        && target
            .split(|byte| !is_plain(byte))
            .any(|path| paths::segments(path).iter().any(|segment| segment == b"index" || segment == b"default"));
    // Nor so strict that genuine deliveries and plain pages are turned away.
    if let paths::Verdict::Route(route) = expected
        && !rule.routes[route].ends_with("/*")
        && (rule.nextjs || query.is_empty())
    {
        assert_eq!(found, Verdict::Route(route), "a route's own spelling: {:?}", shown());
    }
    let internal = path.to_ascii_lowercase().windows(6).any(|part| part == b"/_next");
    if expected == paths::Verdict::Pass
        && plain
        && !internal
        && !is_file
        && !path.windows(2).any(|pair| pair == b"//")
        && is_short(target)
        && target.len() < 400
        && query.split(|byte| *byte == b'&').count() <= paths::MOST_PARAMETERS
    {
        assert_eq!(found, Verdict::Unmatched, "a plain page: {:?}", shown());
    }

    // canonical(canonical(x)) = canonical(x), and what is let through does not become a route when a reader resolves it.
    let (decoded, settled) = decoded(path);
    if settled {
        let canonical = canonical(&decoded);
        assert_eq!(self::canonical(&canonical), canonical, "{:?}", shown());
        if found == Verdict::Unmatched {
            let resolved = targets.classify(method, &canonical);
            let is_page = !canonical.iter().any(|byte| matches!(byte, b'?' | b'#') || !byte.is_ascii_graphic());
            assert!(!matches!(resolved, Verdict::Route(_)), "resolved to {resolved:?}: {:?}", shown());
            assert!(!is_page || same(resolved), "resolved to {resolved:?}: {:?}", shown());
        }
    }
    // The query decides nothing about a route, and the verdict nothing but the bytes.
    // Internal paths below a prefix are for GET and HEAD, whoever signs.
    if let Verdict::Route(route) = found
        && !internal
    {
        assert_eq!(targets.classify(b"POST", path), Verdict::Route(route), "{:?}", shown());
        assert_eq!(targets.classify(b"POST", &[path, b"?x=%zz//"].concat()), Verdict::Route(route), "{:?}", shown());
    }
}

fn is_short(path: &[u8]) -> bool {
    path.iter().filter(|byte| **byte == b'/').count() < 7
}

/// Refused it may be: `%2523` is text to one reader, and a fragment when a proxy writes it decoded.
fn same(resolved: Verdict) -> bool {
    use hookward::check::target::TargetFault::{InternalForm, InternalMethod, ShadowOfRoute};
    !matches!(resolved, Verdict::Route(_) | Verdict::Refused(ShadowOfRoute | InternalForm | InternalMethod))
}

fn canonical(path: &[u8]) -> Vec<u8> {
    let joined = segments(path).into_iter().flat_map(|segment| [b"/".to_vec(), segment].concat()).collect::<Vec<u8>>();
    if joined.is_empty() { b"/".to_vec() } else { joined }
}
