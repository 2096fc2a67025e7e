//! Builds against configurations; the manifests are trimmed ones of Next 16.4.6.

use serde_json::json;

use super::*;
use crate::config::tests::Fake;

const ROUTES: &str = r#"
# env S=0123456789abcdef0123
[routes.clerk]
path = "/api/clerk-webhook"
provider = "github"
secrets = [{ env = "S" }]
[routes.hooks]
path = "/api/webhooks/*"
provider = "github"
secrets = [{ env = "S" }]
"#;

fn pages() -> Value {
    json!([{ "page": "/" }, { "page": "/_not-found" }, { "page": "/about" }, { "page": "/api/clerk-webhook" },
           { "page": "/api/webhooks/clerk" }, { "page": "/api/webhooks/stripe" }, { "page": "/api/events" }])
}

fn manifest(rewrites: &Value) -> Value {
    json!({ "version": 3, "caseSensitive": false, "basePath": "", "staticRoutes": pages(), "rewrites": rewrites,
            "dynamicRoutes": [{ "page": "/api/dyn/[provider]" }, { "page": "/api/catch/[...path]" }] })
}

fn inspected(app: &str, manifest: &Value, handlers: Option<&Value>) -> Vec<Problem> {
    let text = format!("[app]\n{app}\n{ROUTES}");
    let loaded = crate::config::compile(&text, Path::new("x.toml"), &Fake::of(&text)).unwrap();
    let handlers = handlers.map(Value::to_string);
    inspect(&manifest.to_string(), handlers.as_deref(), Path::new("routes-manifest.json"), &loaded)
}

fn errors(app: &str, manifest: &Value) -> Vec<String> {
    let problems = inspected(app, manifest, None);
    problems.iter().filter(|problem| problem.severity == Severity::Error).map(Problem::to_string).collect()
}

fn after(source: &str, destination: &str) -> Value {
    manifest(
        &json!({ "beforeFiles": [], "fallback": [], "afterFiles": [{ "source": source, "destination": destination }] }),
    )
}

#[test]
fn a_build_without_rewrites_is_fine() {
    assert_eq!(inspected("", &manifest(&json!([])), None), []);
    assert_eq!(inspected("", &manifest(&json!({ "beforeFiles": [], "afterFiles": [], "fallback": [] })), None), []);
}

#[test]
fn an_undeclared_rewrite_is_a_problem_and_a_declared_one_is_not() {
    let build = after("/hooks/clerk", "/api/clerk-webhook");
    let found = errors("", &build);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains(
        "rewrites.afterFiles[0]: /hooks/clerk -> /api/clerk-webhook: /hooks/clerk is an undeclared way to routes.clerk"
    ));
    assert!(found[0].contains("add \"/hooks/clerk\" to aliases"));
    assert_eq!(errors("aliases = [\"/hooks/clerk\"]", &build), [""; 0]);
}

#[test]
fn every_list_counts_and_so_do_conditions_and_queries() {
    for list in ["beforeFiles", "afterFiles", "fallback"] {
        let entry = json!([{ "source": "/gw", "destination": "/api/clerk-webhook?x=1", "has": [{ "type": "query", "key": "svc" }] }]);
        assert_eq!(errors("", &manifest(&json!({ list: entry }))).len(), 1, "{list}");
    }
    assert_eq!(errors("", &manifest(&json!([{ "source": "/old", "destination": "/api/clerk-webhook" }]))).len(), 1);
}

#[test]
fn a_parameter_shows_the_concrete_way() {
    let found = errors("", &after("/old/:path*", "/api/:path*"));
    assert!(found.iter().any(|problem| problem.contains("/old/clerk-webhook is an undeclared way")), "{found:?}");
    assert!(found.iter().any(|problem| problem.contains("or \"/old/*\" for all of them")), "{found:?}");
    assert_eq!(errors("aliases = [\"/old/*\"]", &after("/old/:path*", "/api/:path*")), [""; 0]);
    assert_eq!(errors("", &after("/h/:kind(github|slack)", "/api/:kind")), [""; 0]);
    assert_eq!(errors("", &after("/h/:kind(clerk-webhook|slack)", "/api/:kind")).len(), 1);
    assert_eq!(errors("", &after("/:path*", "/:path*")), [""; 0], "the same path is the route itself");
    assert_eq!(errors("", &after("/in", "/api/webhooks/anything")).len(), 1, "below a protected prefix");
}

#[test]
fn a_sample_of_an_open_parameter_is_no_declaration() {
    let build = after("/t/:tenant/in", "/api/clerk-webhook");
    for app in ["", "aliases = [\"/t/x/in\"]", "aliases = [\"/t/x/in\", \"/t/y/in\"]"] {
        let found = errors(app, &build);
        assert_eq!(found.len(), 1, "{app}");
        assert!(found[0].contains("add \"/t/*\" to aliases under [app], or remove"), "{found:?}");
    }
    assert_eq!(errors("aliases = [\"/t/*\"]", &build), [""; 0]);
    let found = errors("aliases = [\"/x/deep\"]", &after("/:tenant/deep", "/api/clerk-webhook"));
    assert!(found.len() == 1 && found[0].contains("no alias names all of its paths: remove the rewrite"), "{found:?}");
}

#[test]
fn a_destination_is_compared_as_next_resolves_it() {
    for destination in ["/api/clerk-webhook/", "/x/../api/clerk-webhook", "/./api//clerk-webhook/?x=/"] {
        let found = errors("", &after("/a7", destination));
        assert!(found.len() == 1 && found[0].contains("/a7 is an undeclared way"), "{destination}: {found:?}");
    }
    assert_eq!(errors("", &after("/a7", "/api/clerk-webhook/x/..")).len(), 1);
    assert_eq!(errors("", &after("/a7", "/../..")), [""; 0]);
}

#[test]
fn a_rewrite_to_an_internal_path_is_a_way_to_everything() {
    for destination in ["/_next/image?url=/api/clerk-webhook&w=640&q=75", "/_next/image", "/_next/:path+"] {
        let found = errors("", &after("/img", destination));
        assert!(found.len() == 1 && found[0].contains("what Next.js serves itself"), "{destination}: {found:?}");
        assert_eq!(errors("aliases = [\"/img\"]", &after("/img", destination)), [""; 0]);
    }
    // The gate looks into these itself.
    assert_eq!(errors("", &after("/blog-static/_next/:path+", "/_next/:path+")), [""; 0]);
    assert_eq!(errors("", &after("/x", "/_nextra/image")), [""; 0]);
}

#[test]
fn an_asset_prefix_must_be_declared_where_there_are_locales() {
    let rewrite = json!({ "source": "/cdn/x/_next/:path+", "destination": "/_next/:path+" });
    let mut build = manifest(&json!({ "beforeFiles": [rewrite], "afterFiles": [], "fallback": [] }));
    assert_eq!(errors("", &build), [""; 0], "without locales Next leaves it");
    build["i18n"] = json!({ "locales": ["en"], "defaultLocale": "en" });
    let found = errors("locales = [\"en\"]", &build);
    assert!(found.len() == 1 && found[0].contains("write asset_prefix = \"/cdn/x\" under [app]"), "{found:?}");
    assert_eq!(errors("locales = [\"en\"]\nasset_prefix = \"/cdn\"", &build).len(), 1);
    assert_eq!(errors("locales = [\"en\"]\nasset_prefix = \"/cdn/x\"", &build), [""; 0]);
    build["i18n"] = Value::Null;
    assert_eq!(errors("", &build), [""; 0]);
}

#[test]
fn a_rewrite_to_a_declared_alias_is_a_way_too() {
    let chain = manifest(&json!({ "beforeFiles": [{ "source": "/first", "destination": "/second" }],
                                  "afterFiles": [{ "source": "/second", "destination": "/api/clerk-webhook" }] }));
    let found = errors("aliases = [\"/second\"]", &chain);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("/first is an undeclared way to routes.clerk"));
}

#[test]
fn a_loop_of_rewrites_ends() {
    let build = manifest(
        &json!([{ "source": "/a/:x*", "destination": "/b/:x*" }, { "source": "/b/:x*", "destination": "/a/:x*/c" },
                                 { "source": "/:x*", "destination": "/z/:x*" }, { "source": "/z/:x*", "destination": "/api/:x*" }]),
    );
    assert!(!errors("", &build).is_empty());
}

#[test]
fn the_apps_own_address_is_the_app() {
    for host in ["127.0.0.1:3000", "localhost:3000", "[::1]:3000", "LOCALHOST:3000"] {
        let build = after("/back", &format!("http://{host}/api/clerk-webhook"));
        let problems = inspected("", &build, None);
        assert_eq!(problems.iter().map(|problem| problem.severity).collect::<Vec<_>>(), [Severity::Error], "{host}");
    }
    let other = inspected("", &after("/back", "http://127.0.0.1:3001/api/clerk-webhook"), None);
    assert_eq!(other.iter().map(|problem| problem.severity).collect::<Vec<_>>(), [Severity::Warning]);
}

#[test]
fn another_host_is_only_a_warning() {
    let problems = inspected("", &after("/ext", "https://example.com/api/clerk-webhook"), None);
    assert_eq!(problems.iter().map(|problem| problem.severity).collect::<Vec<_>>(), [Severity::Warning]);
    assert_eq!(inspected("", &after("/ext", "https://example.com/elsewhere"), None), []);
}

#[test]
fn base_path_and_locales_must_be_declared() {
    let mut build =
        after("/base/:nextInternalLocale(en|fr)/hooks/clerk", "/base/:nextInternalLocale/api/clerk-webhook");
    build["basePath"] = json!("/base");
    build["i18n"] = json!({ "locales": ["en", "fr"], "defaultLocale": "en" });
    let found = errors("locales = [\"en\"]", &build).join("\n");
    assert!(found.contains("write base_path = \"/base\" under [app]"), "{found}");
    assert!(found.contains("add \"fr\" to locales"), "{found}");
    assert!(!found.contains("add \"en\""), "{found}");
    assert!(found.contains("/hooks/clerk is an undeclared way"), "{found}");
    assert!(found.contains("add \"/hooks/clerk\" to aliases"), "the locale is no reason to refuse everything: {found}");
    let declared = "base_path = \"/base\"\nlocales = [\"en\", \"FR\"]\naliases = [\"/hooks/clerk\"]";
    assert_eq!(errors(declared, &build), [""; 0]);
}

#[test]
fn a_webhook_like_handler_without_a_route_is_a_problem() {
    let mut build = manifest(&json!([]));
    build["staticRoutes"] = json!([{ "page": "/api/clerk-webhook" }, { "page": "/api/webhooks/clerk" }, { "page": "/api/svix" },
        { "page": "/api/hooks/new" }, { "page": "/api/payments/stripe" }, { "page": "/settings/webhooks" }, { "page": "/shooks" }]);
    build["dynamicRoutes"] = json!([{ "page": "/api/webhooks/[provider]" }, { "page": "/api/webhook/[provider]" }]);
    let found = errors("", &build).join("\n");
    for path in ["/api/svix", "/api/hooks/new", "/api/webhook/[provider]"] {
        assert!(found.contains(&format!("{path} looks like")), "{path}: {found}");
    }
    assert!(found.contains("path = \"/api/webhook/*\""), "{found}");
    assert_eq!(found.matches("looks like").count(), 3, "{found}");
    let all = inspected("", &build, None);
    let warned: Vec<_> =
        all.iter().filter(|problem| problem.what.contains("may be")).map(|problem| &*problem.what).collect();
    assert_eq!(warned.len(), 2, "a sender's name, and a page that may be a handler: {warned:?}");
}

#[test]
fn the_list_of_handlers_tells_pages_from_handlers() {
    let mut build = manifest(&json!([]));
    build["staticRoutes"] = json!([{ "page": "/settings/webhooks" }, { "page": "/hooks/in" }, { "page": "/api/clerk-webhook" }, { "page": "/api/webhooks/clerk" }]);
    let handlers = json!({ "/settings/webhooks/page": "/settings/webhooks", "/hooks/in/route": "/hooks/in" });
    let problems = inspected("", &build, Some(&handlers));
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].what.starts_with("/hooks/in looks like"));
    assert_eq!(problems[0].severity, Severity::Error);
}

#[test]
fn a_route_that_the_build_does_not_have_and_one_behind_a_parameter_are_warned_about() {
    let mut build = manifest(&json!([]));
    build["staticRoutes"] = json!([{ "page": "/api/clerk-webhooks" }, { "page": "/api/webhooks/clerk" }]);
    let warned = inspected("", &build, None);
    assert!(
        warned.iter().any(|problem| problem.hint.as_deref() == Some("did you mean \"/api/clerk-webhooks\"?")),
        "{warned:?}"
    );
    build["dynamicRoutes"] = json!([{ "page": "/api/[sender]" }]);
    let warned = inspected("", &build, None);
    assert!(
        warned.iter().any(|problem| problem.hint.as_deref() == Some("protect all of it: path = \"/api/*\"")),
        "{warned:?}"
    );
}

#[test]
fn what_is_not_a_manifest_is_a_problem() {
    let text = format!("[app]\n{ROUTES}");
    let loaded = crate::config::compile(&text, Path::new("x.toml"), &Fake::of(&text)).unwrap();
    for bad in ["", "{}", "[]", "<html>"] {
        let problems = inspect(bad, None, Path::new("m.json"), &loaded);
        assert_eq!(problems.len(), 1, "{bad}");
        assert_eq!(problems[0].severity, Severity::Error);
    }
}

#[test]
fn a_next_build_behind_a_configuration_for_another_framework_is_an_error() {
    let found = errors("framework = \"none\"", &manifest(&json!([])));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("app.framework is \"none\", and this is a Next.js build"), "{found:?}");
}

#[test]
fn a_rewrite_from_one_protected_path_to_another_is_a_warning() {
    let problems = inspected("", &after("/api/webhooks/:path*", "/api/clerk-webhook"), None);
    assert_eq!(problems.iter().map(|problem| problem.severity).collect::<Vec<_>>(), [Severity::Warning]);
    let what = problems[0].to_string();
    assert!(what.contains("from routes.hooks, whose secrets are other ones, to routes.clerk"), "{what}");
}

#[test]
fn what_is_escaped_or_in_braces_is_read_as_the_path_that_it_matches() {
    for source in ["/old\\-clerk", "/{old-}clerk", "/{old-clerk}"] {
        let found = errors("", &after(source, "/api/clerk-webhook"));
        assert_eq!(found.len(), 1, "{source}: {found:?}");
        assert!(found[0].contains("/old-clerk is an undeclared way to routes.clerk"), "{source}: {found:?}");
    }
}

#[test]
fn a_destination_that_is_no_address_is_not_the_app() {
    let problems = inspected("", &after("/ext", "http://user name:x/api/clerk-webhook"), None);
    assert!(problems.iter().all(|problem| problem.severity == Severity::Warning), "{problems:?}");
}
