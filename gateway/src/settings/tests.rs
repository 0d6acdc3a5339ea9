//! What the options become, and what is refused.

use super::{access::Provider, *};
use crate::service::Accounts;

/// Options that are enough, with some more.
fn options(change: impl FnOnce(&mut Options)) -> Options {
    let mut options =
        Options { bind: some("127.0.0.1"), rabbitmq_url: some("amqp://broker"), ..Options::default() };
    change(&mut options);
    options
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn read(change: impl FnOnce(&mut Options)) -> Settings {
    Settings::read(&options(change)).unwrap()
}

fn refused(change: impl FnOnce(&mut Options)) -> String {
    Settings::read(&options(change)).unwrap_err().to_string()
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let settings = read(|_| {});
    assert_eq!(settings.address.port(), 8080);
    assert_eq!(settings.database.options.connections, 10);
    assert!(settings.database.url.is_none() && settings.config.is_none());
    assert_eq!(settings.broker.masked(), "amqp://broker exchange asya");
    assert!(settings.access.open && settings.access.origins.loopback);
}

#[test]
fn sqs_is_chosen_as_the_go_system_chooses_it() {
    let name = |change: fn(&mut Options)| read(change).broker.name();
    assert_eq!(name(|options| options.rabbitmq_url = some("")), "sqs");
    assert_eq!(name(|options| options.sqs_endpoint = some("http://sqs:4566")), "sqs");
    assert_eq!(name(|options| options.local_path = some("queue.db")), "rabbitmq");
    assert_eq!(
        name(|options| (options.transport, options.local_path) = (some("local"), some("queue.db"))),
        "local"
    );
    assert!(refused(|options| options.transport = some("local")).contains("ASYA_LOCAL_PATH"));
}

#[test]
fn authentication_is_off_on_loopback_or_when_told_so_and_nowhere_else() {
    let everywhere = |options: &mut Options| options.bind = None;
    assert!(refused(everywhere).contains("choose one"));
    let off = read(|options| (options.bind, options.auth) = (None, some("off")));
    assert!(off.access.open && off.access.callbacks_open && !off.access.warnings.is_empty());
    let on = read(|options| (options.bind, options.token) = (None, some("0123456789abcdef")));
    assert!(!on.access.open && !on.access.callbacks_open);
    // A token on loopback counts too.
    assert!(!read(|options| options.token = some("0123456789abcdef")).access.open);
    let both = refused(|options| (options.auth, options.token) = (some("off"), some("0123456789abcdef")));
    assert!(both.contains("would not count"), "{both}");
    assert!(refused(|options| options.auth = some("on")).contains("nobody could come"));
}

#[test]
fn a_place_of_logs_is_an_address_of_the_web() {
    let logs = "https://logs.example.com/?q={id}&from={from}";
    assert_eq!(read(|options| options.logs_url = some(logs)).rules.logs.as_deref(), Some(logs));
    assert!(read(|_| {}).rules.logs.is_none());
    // It becomes a link on a page.
    let wrong = refused(|options| options.logs_url = some("javascript:alert(1)"));
    assert!(wrong.contains("ASYA_GATEWAY_LOGS_URL"), "{wrong}");
}

#[test]
fn callbacks_are_open_only_where_everything_is_or_when_told_so() {
    let token = |options: &mut Options| options.token = some("0123456789abcdef");
    let legacy = read(|options| {
        token(options);
        options.callback_auth = some("legacy");
    });
    assert!(legacy.access.callbacks_open && legacy.access.warnings[0].contains("from everybody"));
    let secret = read(|options| options.callback_token = some("secret"));
    assert!(secret.access.open && !secret.access.callbacks_open);
    assert!(read(token).access.warnings[0].contains("sidecars cannot report"));
    let nowhere = refused(|options| options.callback_issuer = some("https://issuer.example"));
    assert!(nowhere.contains("ASYA_NAMESPACE: is required"), "{nowhere}");
    let several = read(|options| {
        options.callback_issuer = some("https://issuer.example");
        options.callback_namespaces = some("team, crew");
    });
    assert_eq!(several.rules.reporters, ["team", "crew"]);
    let secret = refused(|options| {
        (options.callback_token, options.callback_namespaces) = (some("secret"), some("team"));
    });
    assert!(secret.contains("needs ASYA_GATEWAY_CALLBACK_ISSUER"), "{secret}");
    let outside = refused(|options| options.callback_issuer = some("kubernetes"));
    assert!(outside.contains("token of this pod's service account"), "{outside}");
}

#[test]
fn an_identity_provider_needs_an_audience_and_a_way_that_cannot_be_forged() {
    let issuer = |options: &mut Options| options.oidc_issuer = some("https://issuer.example");
    assert!(refused(issuer).contains("ASYA_GATEWAY_OIDC_AUDIENCE"));
    let plain = refused(|options| options.oidc_issuer = some("http://issuer.example"));
    assert!(plain.contains("https://"), "{plain}");
    let settings = read(|options| {
        issuer(options);
        options.oidc_audience = some("asya");
        options.oidc_roles = some("ops=admin, dev=read+send");
    });
    let Provider { issuer, roles: claim, groups, mapping } = settings.access.oidc.unwrap();
    assert_eq!(groups, "groups");
    assert_eq!((&*issuer.audience, &*claim), ("asya", "roles"));
    assert!(mapping["dev"].has(crate::auth::Role::Send) && !mapping["dev"].has(crate::auth::Role::Payload));
    assert!(refused(|options| options.oidc_roles = some("ops=root")).contains("root"));
}

#[test]
fn a_password_beside_the_address_gets_into_it() {
    let address = |url: &str| {
        let settings = read(|options| {
            (options.database_url, options.database_password) = (some(url), some("p@ss/word"));
        });
        assert!(!format!("{settings:?}").contains("p@ss"));
        settings.database.address().unwrap().unwrap()
    };
    assert_eq!(address("postgresql://asya@db:5432/gw"), "postgresql://asya:p%40ss%2Fword@db:5432/gw");
    assert_eq!(address("postgres://asya:own@db/gw"), "postgres://asya:own@db/gw");
    assert_eq!(address("/data/gateway.db"), "/data/gateway.db");
}

#[test]
fn an_age_of_nothing_is_for_ever() {
    let retention = read(|options| {
        (options.keep_envelopes, options.keep_updates) = (some("720h"), some("0"));
    })
    .retention;
    assert_eq!(retention.envelopes, Some(Duration::from_secs(720 * 3600)));
    assert_eq!(retention.updates, None);
}

#[test]
fn actors_that_are_shown_have_names_of_actors() {
    assert_eq!(read(|it| it.actors = some("ocr, mail")).actors, ["ocr", "mail"]);
    assert!(refused(|it| it.actors = some("asya-ocr")).contains("ASYA_GATEWAY_ACTORS"));
}

#[test]
fn a_cluster_is_asked_where_there_is_one_unless_told_otherwise() {
    let wish = |word: &'static str, names: &'static str| {
        read(|it| (it.kubernetes, it.kubernetes_namespaces) = (some(word), some(names))).kubernetes
    };
    assert_eq!(wish("", ""), Some(Wish::default()));
    assert_eq!(wish("off", "a"), None);
    let on = wish("on", "a, b").unwrap();
    assert_eq!((on.always, on.everywhere, on.namespaces.join("+").as_str()), (true, false, "a+b"));
    assert!(wish("auto", "*").unwrap().everywhere);
    let error = refused(|it| (it.kubernetes, it.kubernetes_namespaces) = (some("yes"), some("A")));
    assert!(
        error.contains("ASYA_GATEWAY_KUBERNETES:") || error.contains("ASYA_GATEWAY_KUBERNETES "),
        "{error}"
    );
    assert!(error.contains("ASYA_GATEWAY_KUBERNETES_NAMESPACES"), "{error}");
}

#[test]
fn a_look_into_the_cluster_is_for_those_who_were_asked_who_they_are() {
    assert!(!read(|_| {}).cluster_tools);
    let on = |options: &mut Options| options.cluster_tools = some("true");
    assert!(read(on).cluster_tools, "this machine");
    let open = refused(|options| {
        on(options);
        (options.bind, options.auth) = (some("0.0.0.0"), some("off"));
    });
    assert!(open.contains("ASYA_GATEWAY_CLUSTER_TOOLS"), "{open}");
    let asked = read(|options| {
        on(options);
        (options.bind, options.token) = (some("0.0.0.0"), some(&"t".repeat(64)));
    });
    assert!(asked.cluster_tools);
    assert!(refused(|options| options.cluster_tools = some("maybe")).contains("ASYA_GATEWAY_CLUSTER_TOOLS"));
}

#[test]
fn accounts_of_actors_are_globs_of_two_parts_and_need_tokens_that_name_them() {
    let all = read(|_| {});
    assert_eq!(all.rules.internal, Accounts::OfAgents);
    let issued = |options: &mut Options, text: &str| {
        options.callback_issuer = some("https://issuer");
        options.namespace = some("team");
        options.internal_accounts = some(text);
    };
    let named = read(|options| issued(options, "team/agent, team/tool-*"));
    assert_eq!(
        named.rules.internal,
        Accounts::Named(vec!["team/agent".to_owned(), "team/tool-*".to_owned()])
    );
    for wrong in ["agent", "a/b/c", "/agent", "team/"] {
        assert!(refused(|options| issued(options, wrong)).contains("NAMESPACE/NAME"), "{wrong}");
    }
    let unknown = refused(|options| options.internal_accounts = some("team/agent"));
    assert!(unknown.contains("ASYA_GATEWAY_CALLBACK_ISSUER"), "{unknown}");
}
