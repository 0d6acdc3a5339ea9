//! What the binary was told, read into types. All errors are found before any is reported.

use std::{fmt::Display, path::PathBuf, str::FromStr, time::Duration};

use asya_resources::{EnvVar, RolloutPolicy};
use asya_telemetry::{log, server};
use serde_json::{Value, json};

use super::{
    Agents, GithubRelease, Kind, Push, Raw, Rollout, Runtime, Settings, Sidecar, Template,
    transports::{self, Parsed},
};

/// Where metrics and health are served, as by the Go operator.
const METRICS_ADDRESS: &str = ":8080";
const HEALTH_ADDRESS: &str = ":8081";
/// What turns metrics off, as in other controllers.
const NO_METRICS: &str = "0";
/// Namespace whose pods the Go operator expects the runtime in.
const RUNTIME_NAMESPACE: &str = "asya";
/// Where the operator is installed unless said otherwise.
const OPERATOR_NAMESPACE: &str = "asya-system";
/// As the Go operator: enough to hide one slow broker, few enough for its connection.
const CONCURRENCY: u16 = 10;
/// Where the chart mounts the Secrets of transports.
const SECRETS_DIR: &str = "/etc/asya/transports";
/// How often missing queues are looked for; the Go operator's chart says the same.
const QUEUE_CHECK: Duration = Duration::from_secs(5 * 60);
/// How long an unreachable broker holds up a deletion: a restart of it takes less.
const DELETION_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// Watches miss nothing in practice; this is for what they would miss in theory.
const RESYNC: Duration = Duration::from_secs(10 * 60 * 60);
const SIDECAR_IMAGE: &str = "asya-sidecar:latest";
const AGENT_IMAGE: &str = "asya-crew:latest";
const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];
/// Enough for a cluster to be done with an update in an hour, few enough that a bad one is noticed early.
const ROLLOUT_MAX_CONCURRENT: u16 = 5;
const RUNTIME_PATH: &str = "/runtime/asya_runtime.py";
/// Hexadecimal digits of a SHA-256.
const SHA256_DIGITS: usize = 64;

/// Everything that is wrong, one sentence each.
#[derive(Debug, thiserror::Error)]
#[error("the configuration is wrong:\n  {}", .0.join("\n  "))]
pub struct Errors(pub Vec<String>);

impl Settings {
    /// Reads the options.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn read(raw: Raw) -> Result<Self, Errors> {
        let Raw {
            metrics_bind_address,
            health_probe_bind_address,
            scaler_bind_address,
            leader_elect,
            runtime_namespace,
            max_concurrent_reconciles,
            watch_namespaces,
            operator_namespace,
            pod_name,
            transport_config,
            transport_secrets_dir,
            queue_template,
            disable_queue_management,
            queue_health_check_interval,
            deletion_timeout,
            resync_interval,
            gateway_url,
            sidecar_image,
            sidecar_image_pull_policy,
            sidecar_image_pull_secrets,
            sidecar_resources,
            sidecar_env,
            native_sidecar,
            rollout_policy,
            rollout_max_concurrent,
            runtime_source,
            runtime_script_path,
            runtime_github_repo,
            runtime_github_version,
            runtime_github_sha256,
            scaler_address,
            scaler_tls_dir,
            scaler_authentication,
            scaler_default,
            agents,
            agent_image,
            agent_image_pull_policy,
            log_level,
            log_format,
        } = raw;
        let mut read = Reader::default();
        let secrets = filled(transport_secrets_dir).unwrap_or_else(|| SECRETS_DIR.to_owned());
        let config = filled(transport_config).unwrap_or_else(|| "{}".to_owned());
        let Parsed { transports, warnings } =
            transports::parse(&config, secrets.as_ref()).unwrap_or_else(|errors| {
                read.0.extend(errors.into_iter().map(|error| format!("ASYA_TRANSPORT_CONFIG: {error}")));
                Parsed::default()
            });
        let github = Github {
            source: runtime_source,
            repo: runtime_github_repo,
            version: runtime_github_version,
            sha256: runtime_github_sha256,
        };
        let push = PushOptions {
            bind: scaler_bind_address,
            address: scaler_address,
            tls: scaler_tls_dir,
            authentication: scaler_authentication,
            default: scaler_default,
        };
        let metrics = server::parse_address(METRICS_ADDRESS).expect("the default is an address");
        let health = server::parse_address(HEALTH_ADDRESS).expect("the default is an address");
        let settings = Self {
            transports,
            warnings,
            template: read.or("ASYA_QUEUE_TEMPLATE", queue_template, Template::default(), Template::parse),
            gateway_url: read.or("ASYA_GATEWAY_URL", gateway_url, None, |text| web_address(text).map(Some)),
            sidecar: Sidecar {
                image: filled(sidecar_image).unwrap_or_else(|| SIDECAR_IMAGE.to_owned()),
                pull_policy: read.or(
                    "ASYA_SIDECAR_IMAGE_PULL_POLICY",
                    sidecar_image_pull_policy,
                    None,
                    |text| one_of(text, &PULL_POLICIES).map(|policy| Some(policy.to_owned())),
                ),
                pull_secrets: list(sidecar_image_pull_secrets),
                resources: read.or("ASYA_SIDECAR_RESOURCES", sidecar_resources, json!({}), resources),
                env: read.or("ASYA_SIDECAR_ENV", sidecar_env, Vec::new(), environment),
                native: read.or("ASYA_NATIVE_SIDECAR", native_sidecar, None, |text| match text {
                    "auto" => Ok(None),
                    other => {
                        boolean(other).map(Some).map_err(|_| format!("{text:?} must be auto, true or false"))
                    }
                }),
            },
            runtime: Runtime {
                path: filled(runtime_script_path).unwrap_or_else(|| RUNTIME_PATH.to_owned()).into(),
                github: github.read(&mut read),
                namespace: Some(filled(runtime_namespace).unwrap_or_else(|| RUNTIME_NAMESPACE.to_owned())),
            },
            rollout: Rollout {
                policy: read.or("ASYA_ROLLOUT_POLICY", rollout_policy, RolloutPolicy::default(), |text| {
                    match text {
                        "OnRestart" => Ok(RolloutPolicy::OnRestart),
                        "Rolling" => Ok(RolloutPolicy::Rolling),
                        other => Err(format!("{other:?} must be OnRestart or Rolling")),
                    }
                }),
                max_concurrent: read.or(
                    "ASYA_ROLLOUT_MAX_CONCURRENT",
                    rollout_max_concurrent,
                    ROLLOUT_MAX_CONCURRENT,
                    at_least_one,
                ),
            },
            deletion_timeout: read.or("ASYA_DELETION_TIMEOUT", deletion_timeout, DELETION_TIMEOUT, duration),
            manage_queues: !read.or(
                "ASYA_DISABLE_QUEUE_MANAGEMENT",
                disable_queue_management,
                false,
                boolean,
            ),
            queue_check: Some(read.or(
                "ASYA_QUEUE_HEALTH_CHECK_INTERVAL",
                queue_health_check_interval,
                QUEUE_CHECK,
                duration,
            ))
            .filter(|interval| !interval.is_zero()),
            push: push.read(&mut read),
            agents: looked_after(&mut read, agents, agent_image, agent_image_pull_policy),
            namespaces: list(watch_namespaces),
            namespace: filled(operator_namespace).unwrap_or_else(|| OPERATOR_NAMESPACE.to_owned()),
            identity: filled(pod_name)
                .unwrap_or_else(|| format!("asya-operator-{:016x}", rand::random::<u64>())),
            leader_elect: read.or("--leader-elect", leader_elect, false, boolean),
            concurrency: read.or(
                "ASYA_MAX_CONCURRENT_RECONCILES",
                max_concurrent_reconciles,
                CONCURRENCY,
                at_least_one,
            ),
            resync: read.or("ASYA_RESYNC_INTERVAL", resync_interval, RESYNC, |text| {
                duration(text).and_then(|every| {
                    if every.is_zero() {
                        Err(format!("{text:?} must be longer than nothing"))
                    } else {
                        Ok(every)
                    }
                })
            }),
            metrics: read.or(
                "--metrics-bind-address",
                metrics_bind_address,
                Some(metrics),
                |text| match text {
                    NO_METRICS => Ok(None),
                    address => server::parse_address(address).map(Some),
                },
            ),
            health: read.or(
                "--health-probe-bind-address",
                health_probe_bind_address,
                health,
                server::parse_address,
            ),
            log_filter: read.or("ASYA_LOG_LEVEL", log_level, "info".to_owned(), |text| {
                log::filter(text).map(|_| text.to_owned())
            }),
            log_format: read.or("ASYA_LOG_FORMAT", log_format, log::Format::Json, log::Format::parse),
        };
        for transport in settings.transports.values() {
            // Users of namespaces differ by the prefix of their queues, which the other template does not have.
            if let Kind::Rabbitmq(rabbitmq) = &transport.kind
                && rabbitmq.per_namespace_users
                && settings.template == Template::Bare
            {
                read.0.push(format!(
                    "ASYA_TRANSPORT_CONFIG: transports.{}.config.perNamespaceUsers: needs ASYA_QUEUE_TEMPLATE {}",
                    transport.name,
                    Template::Namespaced.text()
                ));
            }
        }
        match read.0 {
            errors if errors.is_empty() => Ok(settings),
            errors => Err(Errors(errors)),
        }
    }
}

/// What is made of agents, if they are looked after.
fn looked_after(
    read: &mut Reader,
    agents: Option<String>,
    image: Option<String>,
    pull_policy: Option<String>,
) -> Option<Agents> {
    let config = Agents {
        image: filled(image).unwrap_or_else(|| AGENT_IMAGE.to_owned()),
        pull_policy: read.or("ASYA_AGENT_IMAGE_PULL_POLICY", pull_policy, None, |text| {
            one_of(text, &PULL_POLICIES).map(|policy| Some(policy.to_owned()))
        }),
    };
    read.or("ASYA_AGENTS", agents, false, boolean).then_some(config)
}

struct Github {
    source: Option<String>,
    repo: Option<String>,
    version: Option<String>,
    sha256: Option<String>,
}

impl Github {
    fn read(self, read: &mut Reader) -> Option<GithubRelease> {
        let Self { source, repo, version, sha256 } = self;
        let fetched = read.or("ASYA_RUNTIME_SOURCE", source, false, |text| match text {
            "local" => Ok(false),
            "github" => Ok(true),
            other => Err(format!("{other:?} must be local or github")),
        });
        if !fetched {
            return None;
        }
        let repo = read.required("ASYA_RUNTIME_GITHUB_REPO", repo, |text| match text.split('/').count() {
            2 => Ok(text.to_owned()),
            _ => Err(format!("{text:?} must be OWNER/NAME")),
        });
        let version = read.required("ASYA_RUNTIME_GITHUB_VERSION", version, |text| Ok(text.to_owned()));
        let sha256 = read.required("ASYA_RUNTIME_GITHUB_SHA256", sha256, |text| {
            let digits = text.len() == SHA256_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            if digits {
                Ok(text.to_ascii_lowercase())
            } else {
                Err(format!("{text:?} must be 64 hexadecimal digits"))
            }
        });
        Some(GithubRelease { repo: repo?, version: version?, sha256: sha256? })
    }
}

struct PushOptions {
    bind: Option<String>,
    address: Option<String>,
    tls: Option<String>,
    authentication: Option<String>,
    default: Option<String>,
}

impl PushOptions {
    fn read(self, read: &mut Reader) -> Option<Push> {
        let Self { bind, address, tls, authentication, default } = self;
        let default = read.or("ASYA_SCALER_DEFAULT", default, false, boolean);
        let bind =
            read.or("--scaler-bind-address", bind, None, |text| server::parse_address(text).map(Some))?;
        let address = read.required("ASYA_SCALER_ADDRESS", address, |text| {
            let port = text.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
            match port {
                Some(_) if !text.contains("://") => Ok(text.to_owned()),
                _ => Err(format!("{text:?} must be HOST:PORT")),
            }
        })?;
        Some(Push {
            bind,
            address,
            tls: filled(tls).map(PathBuf::from),
            authentication: filled(authentication),
            default,
        })
    }
}

impl Template {
    fn parse(text: &str) -> Result<Self, String> {
        [Self::Bare, Self::Namespaced]
            .into_iter()
            .find(|template| template.text() == text)
            .ok_or_else(|| format!("{text:?} must be {} or {}", Self::Bare.text(), Self::Namespaced.text()))
    }
}

/// Collects what is wrong.
#[derive(Default)]
struct Reader(Vec<String>);

impl Reader {
    fn required<T>(
        &mut self,
        name: &str,
        value: Option<String>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match filled(value) {
            Some(text) => self.parsed(name, &text, parse),
            None => {
                self.0.push(format!("{name}: is required"));
                None
            }
        }
    }

    fn or<T>(
        &mut self,
        name: &str,
        value: Option<String>,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> T {
        filled(value).and_then(|text| self.parsed(name, &text, parse)).unwrap_or(default)
    }

    fn parsed<T>(
        &mut self,
        name: &str,
        text: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        parse(text).map_err(|error| self.0.push(format!("{name}: {error}"))).ok()
    }
}

/// An empty variable counts as not set, as in the Go system.
fn filled(value: Option<String>) -> Option<String> {
    value.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn list(value: Option<String>) -> Vec<String> {
    let text = filled(value).unwrap_or_default();
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn number<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("{text:?} must be a whole number: {error}"))
}

fn at_least_one(text: &str) -> Result<u16, String> {
    let value: u16 = number(text)?;
    if value > 0 { Ok(value) } else { Err(format!("{text:?} must be at least 1")) }
}

/// True or false, in the words of the Go system, which sidecars take, too.
///
/// # Errors
/// A sentence with the value.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(format!("{text:?} must be true or false")),
    }
}

/// A duration in Go's notation.
fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let read = text.parse::<jiff::SignedDuration>().ok().and_then(|read| Duration::try_from(read).ok());
    read.ok_or_else(|| format!("{text:?} must be a duration such as 300ms, 5m or 1m30s"))
}

fn web_address(text: &str) -> Result<String, String> {
    let known = text.starts_with("http://") || text.starts_with("https://");
    if known { Ok(text.to_owned()) } else { Err(format!("{text:?} must begin with http:// or https://")) }
}

fn one_of<'a>(text: &'a str, words: &[&str]) -> Result<&'a str, String> {
    if words.contains(&text) {
        Ok(text)
    } else {
        Err(format!("{text:?} must be one of {}", words.join(", ")))
    }
}

fn resources(text: &str) -> Result<Value, String> {
    const PARTS: [&str; 3] = ["limits", "requests", "claims"];
    let value: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let object = value.as_object().ok_or("must be an object with limits and requests")?;
    match object.keys().find(|key| !PARTS.contains(&key.as_str())) {
        Some(unknown) => Err(format!("unknown field {unknown:?}; it may have {}", PARTS.join(", "))),
        None => Ok(value),
    }
}

/// Variables of every sidecar. Where metrics are served is a matter of each actor's ports and probes.
fn environment(text: &str) -> Result<Vec<EnvVar>, String> {
    let env: Vec<EnvVar> = serde_json::from_str(text)
        .map_err(|error| format!("must be a JSON list of a container's variables: {error}"))?;
    let ports = ["ASYA_METRICS_ADDR", "ASYA_METRICS_ENABLED"];
    match env.iter().find(|var| ports.contains(&var.name.as_str())) {
        Some(var) => Err(format!("{} can be set by spec.sidecar.env of an actor only", var.name)),
        None => Ok(env),
    }
}
