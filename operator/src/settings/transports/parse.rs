//! Reading `ASYA_TRANSPORT_CONFIG`: the Go operator's JSON, with fields of our own.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;

use super::{Kind, Rabbitmq, SecretKey, Sqs, Transport, fields::Fields};

/// Port of AMQP, without and with TLS.
const AMQP: u16 = 5672;
const AMQPS: u16 = 5671;
/// User where the configuration names none: the one that every broker has.
const GUEST: &str = "guest";
/// Most deliveries before a dead letter where the configuration says 0 or nothing, as in the Go operator.
const MAX_RETRY_COUNT: u32 = 3;
/// Most deliveries where there is no `dlq` at all: above the 20 after which a sidecar itself gives a message up, so
/// that it speaks first and says why.
const OUR_MAX_RECEIVES: u32 = 40;
/// Most that SQS takes as `maxReceiveCount`.
const MOST_RECEIVES: u32 = 1000;
/// Days that dead letters are kept unless said otherwise; also the most that SQS permits.
const RETENTION_DAYS: u32 = 14;
/// Seconds that a received message is hidden unless said otherwise: what the Go operator's chart sets.
const VISIBILITY_SECONDS: u32 = 300;
/// Longest visibility timeout of SQS: 12 hours.
const MOST_VISIBILITY_SECONDS: u32 = 43_200;
/// Longest wait of one receive of SQS, and the cheapest.
const WAIT_SECONDS: u32 = 20;

/// What the configuration holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// Transports by the name that actors give.
    pub transports: BTreeMap<String, Transport>,
    /// What a person should hear of, one sentence each.
    pub warnings: Vec<String>,
}

/// What of `queues` is alike for all kinds.
struct QueueRules {
    auto_create: bool,
    dead_letters: bool,
    max_retries: u32,
    retention_days: u32,
}

/// Reads the transports. `secrets` is the directory in which each transport's credentials are mounted.
///
/// # Errors
/// Every problem, each a sentence that begins with its path. Of a transport that is off only what is misspelt or of
/// the wrong type counts, not what is missing.
pub fn parse(json: &str, secrets: &Path) -> Result<Parsed, Vec<String>> {
    let value: Value = serde_json::from_str(json).map_err(|error| vec![format!("not JSON: {error}")])?;
    let mut document = Fields::of("", value).map_err(|error| vec![error])?;
    let mut parsed = Parsed::default();
    if document.has("transports")
        && let Some(transports) = document.value("transports")
    {
        match transports {
            Value::Object(transports) => {
                for (name, value) in transports {
                    let path = format!("transports.{name}");
                    match Fields::of(&path, value) {
                        Ok(mut fields) => {
                            let transport = transport(&name, &mut fields, secrets, &mut parsed.warnings);
                            document.close(fields);
                            parsed.transports.extend(transport.map(|transport| (name, transport)));
                        }
                        Err(error) => document.note(error),
                    }
                }
            }
            _ => document.wrong("transports", "must be an object with one entry per transport"),
        }
    }
    if parsed.transports.is_empty() {
        parsed.warnings.push("no transport is configured: no actor can have a queue".to_owned());
    }
    let errors = document.end();
    if errors.is_empty() { Ok(parsed) } else { Err(errors) }
}

fn transport(
    name: &str,
    fields: &mut Fields,
    secrets: &Path,
    warnings: &mut Vec<String>,
) -> Option<Transport> {
    if !is_label(name) {
        fields.note(format!(
            "transports.{name}: the name must be lower-case letters, digits and '-', at most 40: it is part of the \
             names of Secrets"
        ));
    }
    let enabled = fields.flag("enabled").unwrap_or(false);
    let word = fields.text("type").unwrap_or_else(|| name.to_owned());
    let mut config = fields.object("config").unwrap_or_else(|| {
        Fields::of(fields.path("config"), Value::Null).expect("null is taken for no fields")
    });
    let queues = queues(&mut config, name, warnings);
    let project_to = config.texts("projectTo");
    let kind = match word.as_str() {
        "rabbitmq" => Some(Kind::Rabbitmq(rabbitmq(&mut config, enabled, &queues))),
        "sqs" => Some(Kind::Sqs(sqs(&mut config, enabled, &queues))),
        other => {
            fields.wrong("type", &format!("must be rabbitmq or sqs, not {other:?}"));
            None
        }
    };
    if kind.is_some() {
        fields.close(config);
    }
    Some(Transport {
        name: name.to_owned(),
        enabled,
        kind: kind?,
        auto_create: queues.auto_create,
        project_to,
        secrets: secrets.join(name),
    })
}

fn queues(config: &mut Fields, transport: &str, warnings: &mut Vec<String>) -> QueueRules {
    let ours = QueueRules {
        auto_create: true,
        dead_letters: true,
        max_retries: OUR_MAX_RECEIVES,
        retention_days: RETENTION_DAYS,
    };
    let Some(mut queues) = config.object("queues") else { return ours };
    let auto_create = queues.flag("autoCreate").unwrap_or(false);
    if queues.flag("forceRecreate") == Some(true) {
        warnings.push(format!(
            "transports.{transport}.config.queues.forceRecreate has no effect: a queue with other arguments is used as \
             it is and reported, never deleted"
        ));
    }
    let rules = match queues.object("dlq") {
        None => QueueRules { auto_create, ..ours },
        Some(mut dlq) => {
            let or = |number: Option<u32>, default| number.filter(|number| *number > 0).unwrap_or(default);
            let rules = QueueRules {
                auto_create,
                dead_letters: dlq.flag("enabled").unwrap_or(true),
                max_retries: or(dlq.number("maxRetryCount", 0, MOST_RECEIVES), MAX_RETRY_COUNT),
                retention_days: or(dlq.number("retentionDays", 0, RETENTION_DAYS), RETENTION_DAYS),
            };
            queues.close(dlq);
            rules
        }
    };
    config.close(queues);
    rules
}

fn rabbitmq(config: &mut Fields, enabled: bool, queues: &QueueRules) -> Rabbitmq {
    let tls = config.flag("tls").unwrap_or(false);
    let port = config.number("port", 0, u16::MAX.into()).and_then(|port| u16::try_from(port).ok());
    let read = Rabbitmq {
        host: config.text("host").unwrap_or_default(),
        port: port.filter(|port| *port > 0).unwrap_or(if tls { AMQPS } else { AMQP }),
        vhost: config.text("vhost").unwrap_or_else(|| "/".to_owned()),
        tls,
        username: config.text("username").unwrap_or_else(|| GUEST.to_owned()),
        password: secret_key(config, "passwordSecretRef"),
        exchange: config.text("exchange").unwrap_or_else(|| "asya".to_owned()),
        management_url: address(config, "managementURL"),
        management_password: secret_key(config, "managementPasswordSecretRef"),
        per_namespace_users: config.flag("perNamespaceUsers").unwrap_or(false),
        dead_letters: queues.dead_letters,
    };
    if enabled {
        if read.host.is_empty() {
            config.wrong("host", "is required");
        }
        if read.password.is_none() && read.username != GUEST {
            config.wrong(
                "passwordSecretRef",
                &format!("is required: only {GUEST} has a password that need not be told"),
            );
        }
        if read.management_url.is_none() {
            if read.per_namespace_users {
                config.wrong("perNamespaceUsers", "needs managementURL: users are made over that API");
            }
            if read.management_password.is_some() {
                config.wrong("managementPasswordSecretRef", "needs managementURL");
            }
        }
        refuse_one_file_for_two(
            config,
            ("passwordSecretRef", &read.password),
            ("managementPasswordSecretRef", &read.management_password),
        );
    }
    read
}

fn sqs(config: &mut Fields, enabled: bool, queues: &QueueRules) -> Sqs {
    let credentials = config.object("credentials").and_then(|mut keys| {
        let (id, secret) = (
            secret_key(&mut keys, "accessKeyIdSecretRef"),
            secret_key(&mut keys, "secretAccessKeySecretRef"),
        );
        if id.is_some() != secret.is_some() {
            let missing = if id.is_none() { "accessKeyIdSecretRef" } else { "secretAccessKeySecretRef" };
            keys.wrong(missing, "is required beside the other key");
        }
        refuse_one_file_for_two(
            &mut keys,
            ("accessKeyIdSecretRef", &id),
            ("secretAccessKeySecretRef", &secret),
        );
        config.close(keys);
        id.zip(secret)
    });
    let read = Sqs {
        region: config.text("region").unwrap_or_default(),
        account: config.text("accountId"),
        endpoint: address(config, "endpoint"),
        actor_role: config.text("actorRoleArn"),
        visibility_timeout: config
            .number("visibilityTimeout", 0, MOST_VISIBILITY_SECONDS)
            .unwrap_or(VISIBILITY_SECONDS),
        wait_time_seconds: config.number("waitTimeSeconds", 0, WAIT_SECONDS).unwrap_or(WAIT_SECONDS),
        credentials,
        max_receive_count: queues.dead_letters.then_some(queues.max_retries),
        retention_days: queues.retention_days,
        tags: tags(config),
    };
    if enabled && read.region.is_empty() {
        config.wrong("region", "is required");
    }
    read
}

fn tags(config: &mut Fields) -> BTreeMap<String, String> {
    let Some(value) = config.value("tags") else { return BTreeMap::new() };
    serde_json::from_value(value).unwrap_or_else(|_| {
        config.wrong("tags", "must be an object of texts");
        BTreeMap::new()
    })
}

fn secret_key(config: &mut Fields, name: &str) -> Option<SecretKey> {
    let mut fields = config.object(name)?;
    let found = (fields.text("name"), fields.text("key"));
    let is_there = found.0.is_some() || found.1.is_some();
    for (part, missing) in [("name", found.0.is_none()), ("key", found.1.is_none())] {
        if is_there && missing {
            fields.wrong(part, "is required");
        }
    }
    config.close(fields);
    Some(SecretKey { name: found.0?, key: found.1? })
}

/// A base address; the slash at its end is cut off, because paths are put after it.
fn address(config: &mut Fields, name: &str) -> Option<String> {
    let text = config.text(name)?;
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    match rest {
        Some(rest) if rest.split('/').next().is_some_and(|host| host.contains('@')) => {
            config.wrong(name, "must not hold credentials: they belong into a Secret");
        }
        Some(rest) if !rest.is_empty() => return Some(text.trim_end_matches('/').to_owned()),
        _ => config.wrong(name, &format!("must begin with http:// or https://, not {text:?}")),
    }
    None
}

/// The operator finds the Secrets of a transport as files in one directory, named by their keys.
fn refuse_one_file_for_two(
    config: &mut Fields,
    (first, one): (&str, &Option<SecretKey>),
    (second, other): (&str, &Option<SecretKey>),
) {
    if let (Some(one), Some(other)) = (one, other)
        && one.key == other.key
    {
        config.wrong(
            second,
            &format!(
                "has the same key {:?} as {first}: the operator reads the keys of a transport as files of one \
                 directory, so they must differ",
                one.key
            ),
        );
    }
}

fn is_label(name: &str) -> bool {
    /// Leaves room for what is put before and after it.
    const LONGEST: usize = 40;
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=LONGEST).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}
