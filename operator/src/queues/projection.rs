//! Pure: the Secret with a transport's credentials in a namespace that is listed, and what is said where it is not.

use asya_transport::rabbitmq::management::Permissions;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use crate::{
    actor::{Actor, FIELD_MANAGER, SECRET_ANNOTATION},
    settings::{
        Credentials, Kind, Rabbitmq, Transport,
        transports::{address, credentials},
    },
};

/// Bytes of a generated password: beyond any guessing, and all of it letters and digits once written down.
const PASSWORD_BYTES: usize = 24;
/// What the names of users that we make begin with; the namespace follows.
const USER_PREFIX: &str = "asya-";
/// What lets KEDA ask the management API for the counts of queues, and nothing else.
pub(super) const USER_TAGS: &str = "management";
/// Reason of the condition where a namespace is not listed.
pub const NOT_PROJECTED: &str = "CredentialsNotProjected";

/// What goes into a namespace's Secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// A user of RabbitMQ and its password.
    Rabbitmq {
        /// The name.
        username: String,
        /// The password.
        password: String,
    },
    /// Static keys of AWS.
    Sqs {
        /// The access key's id.
        access_key_id: String,
        /// The secret access key.
        secret_access_key: String,
    },
}

/// The Secret for server-side apply. A login of another kind than the transport's yields one without data, which
/// does not happen.
pub fn secret(transport: &Transport, namespace: &str, login: &Login) -> Value {
    let mut data = Map::new();
    let mut put = |key: &str, value: &str| data.insert(key.to_owned(), STANDARD.encode(value).into());
    match (login, &transport.kind) {
        (Login::Rabbitmq { username, password }, Kind::Rabbitmq(rabbitmq)) => {
            put(credentials::USERNAME, username);
            put(credentials::PASSWORD, password);
            put(credentials::URL, &address::amqp(rabbitmq, username, password));
            if let Some(url) = address::management(rabbitmq, username, password) {
                put(credentials::MANAGEMENT_URL, &url);
            }
        }
        (Login::Sqs { access_key_id, secret_access_key }, Kind::Sqs(_)) => {
            put(credentials::ACCESS_KEY_ID, access_key_id);
            put(credentials::SECRET_ACCESS_KEY, secret_access_key);
        }
        _ => {}
    }
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": transport.projected_secret(),
            "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": FIELD_MANAGER},
        },
        "type": "Opaque",
        "data": data,
    })
}

/// What to say of an actor whose namespace is not among those that get credentials: it works if somebody else puts
/// the Secret there, which we may not look for.
pub fn not_projected(transport: &Transport, actor: &Actor) -> Option<(&'static str, String)> {
    let is_annotated = actor.annotations.get(SECRET_ANNOTATION).is_some_and(|name| !name.is_empty());
    if transport.project_to.is_empty() || is_annotated || transport.projects_to(&actor.namespace) {
        return None;
    }
    let secret = match transport.credentials_for(actor) {
        Credentials::None => return None,
        Credentials::Rabbitmq { password, .. } => password.name,
        Credentials::Sqs { access_key_id, .. } => access_key_id.name,
    };
    let (transport, namespace) = (&transport.name, &actor.namespace);
    Some((
        NOT_PROJECTED,
        format!(
            "namespace {namespace} is not in transports.{transport}.config.projectTo: pods take the credentials from \
             the Secret {secret} of this namespace, which somebody else must put there; list the namespace, or name \
             another Secret in the annotation {SECRET_ANNOTATION}"
        ),
    ))
}

/// Name of the user that a namespace gets.
pub(super) fn user(namespace: &str) -> String {
    format!("{USER_PREFIX}{namespace}")
}

/// A new password. `random` comes from outside.
pub(super) fn password(random: [u8; PASSWORD_BYTES]) -> String {
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the user of a namespace may do: consume its own queues, publish to the exchange and its retry ladder, and to
/// its dead-letter queues, which go by the default exchange. It makes nothing. RabbitMQ cannot limit which queue a
/// message goes to by that exchange, so a namespace cannot read or delete what is another's, but can send to it.
pub(super) fn permissions(rabbitmq: &Rabbitmq, namespace: &str) -> Permissions {
    let (exchange, namespace) = (quoted(&rabbitmq.exchange), quoted(namespace));
    Permissions {
        configure: "^$".to_owned(),
        write: format!(r"^({exchange}|{exchange}-retry-[0-9]+[smh]|amq\.default)$"),
        read: format!("^asya-{namespace}-.+$"),
    }
}

/// A name as a regular expression that matches only it. Names of namespaces and exchanges need little of that.
fn quoted(name: &str) -> String {
    name.chars()
        .flat_map(|c| {
            let special = !c.is_alphanumeric() && c != '-' && c != '_';
            special.then_some('\\').into_iter().chain([c])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path};

    use super::*;
    use crate::settings::transports::parse;

    fn transport(name: &str, config: &Value) -> Transport {
        let json = json!({"transports": {name: {"enabled": true, "config": config}}}).to_string();
        parse(&json, Path::new("/")).unwrap_or_else(|errors| panic!("{errors:?}")).transports[name].clone()
    }

    fn broker() -> Transport {
        let config = json!({"host": "broker", "username": "asya", "vhost": "prod",
            "passwordSecretRef": {"name": "broker", "key": "password"},
            "managementURL": "http://broker:15672", "projectTo": ["team"]});
        transport("rabbitmq", &config)
    }

    fn decoded(secret: &Value) -> BTreeMap<String, String> {
        let data = secret["data"].as_object().into_iter().flatten();
        data.map(|(key, value)| {
            let bytes = STANDARD.decode(value.as_str().unwrap_or_default()).unwrap_or_default();
            (key.clone(), String::from_utf8_lossy(&bytes).into_owned())
        })
        .collect()
    }

    #[test]
    fn a_namespaces_secret_has_all_that_its_sidecars_and_keda_need() {
        let login = Login::Rabbitmq { username: "asya-team".to_owned(), password: "p@".to_owned() };
        let secret = secret(&broker(), "team", &login);
        assert_eq!(secret["metadata"]["name"], "asya-transport-rabbitmq");
        assert_eq!(secret["metadata"]["namespace"], "team");
        assert_eq!(secret["type"], "Opaque");
        let expected = [
            ("management-url", "http://asya-team:p%40@broker:15672/prod"),
            ("password", "p@"),
            ("url", "amqp://asya-team:p%40@broker:5672/prod"),
            ("username", "asya-team"),
        ];
        assert_eq!(decoded(&secret), expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn static_keys_are_projected_under_their_own_names() {
        let sqs = transport("sqs", &json!({"region": "eu-west-1"}));
        let login = Login::Sqs { access_key_id: "id".to_owned(), secret_access_key: "s".to_owned() };
        let keys: Vec<_> = decoded(&secret(&sqs, "team", &login)).into_keys().collect();
        assert_eq!(keys, ["access-key-id", "secret-access-key"]);
    }

    #[test]
    fn a_user_reads_only_the_queues_of_its_namespace_and_makes_nothing() {
        let Kind::Rabbitmq(rabbitmq) = broker().kind else { panic!("a broker") };
        let rights = permissions(&rabbitmq, "team");
        assert_eq!(rights.configure, "^$");
        assert_eq!(rights.read, "^asya-team-.+$");
        assert_eq!(rights.write, r"^(asya|asya-retry-[0-9]+[smh]|amq\.default)$");
        let odd = Rabbitmq { exchange: "a.b".to_owned(), ..rabbitmq };
        assert!(permissions(&odd, "team").write.contains(r"a\.b"));
    }

    #[test]
    fn an_unlisted_namespace_is_told_what_it_needs() {
        let actor = |namespace: &str, annotation: Option<&str>| {
            let spec =
                json!({"transport": "rabbitmq", "workload": {"template": {"spec": {"containers": []}}}});
            Actor {
                name: "ocr".to_owned(),
                namespace: namespace.to_owned(),
                uid: String::new(),
                generation: 1,
                labels: BTreeMap::new(),
                annotations: annotation
                    .map(|name| (SECRET_ANNOTATION.to_owned(), name.to_owned()))
                    .into_iter()
                    .collect(),
                spec: serde_json::from_value(spec).unwrap_or_else(|error| panic!("{error}")),
            }
        };
        let broker = broker();
        let (reason, sentence) = not_projected(&broker, &actor("other", None)).unwrap_or_default();
        assert_eq!(reason, "CredentialsNotProjected");
        assert!(sentence.contains("namespace other") && sentence.contains("the Secret broker"), "{sentence}");
        assert_eq!(not_projected(&broker, &actor("team", None)), None);
        assert_eq!(not_projected(&broker, &actor("other", Some("mine"))), None);
        let nobody = Transport { project_to: Vec::new(), ..broker };
        assert_eq!(not_projected(&nobody, &actor("other", None)), None, "nothing is projected anywhere");
    }

    #[test]
    fn passwords_are_long_and_of_plain_characters() {
        let password = password([0xa5; PASSWORD_BYTES]);
        assert_eq!(password.len(), 48);
        assert!(password.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }
}
