//! What the binary is told, as it is written.

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, Subcommand, error::ErrorKind};

use crate::{
    analysis::{self, config::Config},
    controllers::{crds, finalizers},
    run,
    settings::{Raw, Settings},
};

/// Wrong usage, as in sysexits.h.
pub const EXIT_USAGE: u8 = 64;

const EXAMPLES: &str = "\
Examples:
  # In a pod, as the chart starts it: the configuration comes from the environment
  asya-operator --leader-elect --metrics-bind-address :8080 --health-probe-bind-address :8081

  # On a laptop, against the cluster of the current kubectl context
  export ASYA_TRANSPORT_CONFIG='{\"transports\":{\"rabbitmq\":{\"enabled\":true,\"config\":{\"host\":\"localhost\",\"username\":\"guest\"}}}}'
  asya-operator --runtime-script-path ./asya_runtime.py --metrics-bind-address 127.0.0.1:8080

  # Beside it, for K8sGPT resources: cluster analysis
  asya-operator analysis --leader-elect

  # Install or upgrade the CRDs, also over those that kubectl apply made
  asya-operator crds apply

  # Before the operator goes for good: let actors be deleted without it
  asya-operator finalizers remove

Exit codes: 0 stopped in order, 1 failed, 64 wrong configuration (all errors at once), 130 stopped twice.";

/// Watches AsyncActors and makes their queues, workloads and KEDA objects.
#[derive(Debug, Parser)]
#[command(name = "asya-operator", version, after_help = EXAMPLES, max_term_width = 110)]
pub struct Args {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes the actors that K8sGPT resources ask for, instead of acting for AsyncActors.
    Analysis(analysis::config::Options),
    /// Custom resource definitions.
    #[command(subcommand)]
    Crds(Crds),
    /// Finalizers of the actors.
    #[command(subcommand)]
    Finalizers(Finalizers),
}

#[derive(Debug, Subcommand)]
enum Crds {
    /// Applies the CRDs of this version server-side and waits until they are served.
    Apply {
        /// Those of cluster analysis (core.k8sgpt.ai) instead of those of actors
        #[arg(long)]
        analysis: bool,
    },
}

#[derive(Debug, Subcommand)]
enum Finalizers {
    /// Removes the operator's finalizer from every actor: for uninstalling. Workloads and queues stay.
    Remove {
        /// From every K8sGPT instead of every actor
        #[arg(long)]
        analysis: bool,
    },
}

macro_rules! options {
    ($($(#[doc = $help:literal])+ $field:ident $env:literal $value:literal;)+) => {
        /// Every option; each is a flag and a variable.
        #[derive(Debug, Default, clap::Args)]
        #[command(next_help_heading = "Options (an empty value counts as not set)")]
        struct Options {
            /// Stand by unless this replica holds the lease (asya-operator.asya.sh; asya-analysis.asya.sh) [default: false]
            #[arg(
                long, global = true, env = "ASYA_LEADER_ELECT", value_name = "BOOL",
                num_args = 0..=1, require_equals = true, default_missing_value = "true",
            )]
            leader_elect: Option<String>,
            $($(#[doc = $help])+ #[arg(long, global = true, env = $env, value_name = $value)] $field: Option<String>,)+
        }

        impl Options {
            fn raw(self) -> Raw {
                let Self { leader_elect, $($field,)+ } = self;
                Raw { leader_elect, $($field,)+ }
            }
        }
    };
}

options! {
    /// Where metrics are served; 0 = nowhere [default: :8080]
    metrics_bind_address "ASYA_METRICS_BIND_ADDRESS" "ADDRESS";
    /// Where /healthz and /readyz are served [default: :8081]
    health_probe_bind_address "ASYA_HEALTH_PROBE_BIND_ADDRESS" "ADDRESS";
    /// Where the push scaler listens for KEDA [default: off]
    scaler_bind_address "ASYA_SCALER_BIND_ADDRESS" "ADDRESS";
    /// A namespace that gets the runtime's ConfigMap even without actors [default: asya]
    runtime_namespace "ASYA_RUNTIME_NAMESPACE" "NAMESPACE";
    /// Actors that are reconciled at the same time [default: 10]
    max_concurrent_reconciles "ASYA_MAX_CONCURRENT_RECONCILES" "NUMBER";
    /// Namespaces to watch, with commas between them [default: all]
    watch_namespaces "ASYA_WATCH_NAMESPACES" "NAMESPACES";
    /// The operator's own namespace: its lease is there [default: asya-system]
    operator_namespace "ASYA_OPERATOR_NAMESPACE" "NAMESPACE";
    /// This replica's name [default: a random one]
    pod_name "ASYA_POD_NAME" "NAME";
    /// The transports that actors may name
    transport_config "ASYA_TRANSPORT_CONFIG" "JSON";
    /// Where each transport's Secret is mounted [default: /etc/asya/transports]
    transport_secrets_dir "ASYA_TRANSPORT_SECRETS_DIR" "PATH";
    /// How queues are named: asya-{actor} or asya-{namespace}-{actor} [default: asya-{namespace}-{actor}]
    queue_template "ASYA_QUEUE_TEMPLATE" "TEMPLATE";
    /// Leave queues to somebody else [default: false]
    disable_queue_management "ASYA_DISABLE_QUEUE_MANAGEMENT" "BOOL";
    /// How often missing queues are looked for; 0 = never [default: 5m]
    queue_health_check_interval "ASYA_QUEUE_HEALTH_CHECK_INTERVAL" "DURATION";
    /// How long an unreachable broker may hold up a deletion [default: 10m]
    deletion_timeout "ASYA_DELETION_TIMEOUT" "DURATION";
    /// How often every actor is looked at without a reason [default: 10h]
    resync_interval "ASYA_RESYNC_INTERVAL" "DURATION";
    /// The gateway that sidecars report to
    gateway_url "ASYA_GATEWAY_URL" "URL";
    /// Image of injected sidecars [default: asya-sidecar:latest]
    sidecar_image "ASYA_SIDECAR_IMAGE" "IMAGE";
    /// Pull policy of injected sidecars
    sidecar_image_pull_policy "ASYA_SIDECAR_IMAGE_PULL_POLICY" "POLICY";
    /// Pull secrets of injected sidecars, with commas between them
    sidecar_image_pull_secrets "ASYA_SIDECAR_IMAGE_PULL_SECRETS" "NAMES";
    /// Resources of injected sidecars, as in a container
    sidecar_resources "ASYA_SIDECAR_RESOURCES" "JSON";
    /// Further environment of injected sidecars, as in a container; what an actor says itself wins
    sidecar_env "ASYA_SIDECAR_ENV" "JSON";
    /// Whether sidecars are init containers that stay: auto, true or false [default: auto]
    native_sidecar "ASYA_NATIVE_SIDECAR" "WORD";
    /// When pods follow a new runtime or sidecar: OnRestart or Rolling [default: OnRestart]
    rollout_policy "ASYA_ROLLOUT_POLICY" "POLICY";
    /// Actors that roll at the same time [default: 5]
    rollout_max_concurrent "ASYA_ROLLOUT_MAX_CONCURRENT" "NUMBER";
    /// Where the runtime comes from: local or github [default: local]
    runtime_source "ASYA_RUNTIME_SOURCE" "WORD";
    /// The runtime's file [default: /runtime/asya_runtime.py]
    runtime_script_path "ASYA_RUNTIME_SCRIPT_PATH" "PATH";
    /// Repository of a released runtime
    runtime_github_repo "ASYA_RUNTIME_GITHUB_REPO" "OWNER/NAME";
    /// Its version
    runtime_github_version "ASYA_RUNTIME_GITHUB_VERSION" "TAG";
    /// What its SHA-256 must be
    runtime_github_sha256 "ASYA_RUNTIME_GITHUB_SHA256" "HEX";
    /// What KEDA dials to reach the push scaler
    scaler_address "ASYA_SCALER_ADDRESS" "HOST:PORT";
    /// Directory with the push scaler's tls.crt, tls.key and ca.crt
    scaler_tls_dir "ASYA_SCALER_TLS_DIR" "PATH";
    /// The ClusterTriggerAuthentication with KEDA's certificates
    scaler_authentication "ASYA_SCALER_AUTHENTICATION" "NAME";
    /// Whether actors that say nothing are woken by push [default: false]
    scaler_default "ASYA_SCALER_DEFAULT" "BOOL";
    /// Whether resources of kind Agent are looked after, too [default: false]
    agents "ASYA_AGENTS" "BOOL";
    /// Image of the actors of agents, asya-crew or built on it [default: asya-crew:latest]
    agent_image "ASYA_AGENT_IMAGE" "IMAGE";
    /// When it is pulled: Always, IfNotPresent or Never
    agent_image_pull_policy "ASYA_AGENT_IMAGE_PULL_POLICY" "POLICY";
    /// Which log lines are written [default: info]
    log_level "ASYA_LOG_LEVEL" "LEVEL";
    /// How they look: auto, json or human [default: json]
    log_format "ASYA_LOG_FORMAT" "FORMAT";
}

/// Runs the operator with the process' own arguments.
pub fn main() -> ExitCode {
    run_with(std::env::args_os())
}

fn run_with(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(error) => {
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // Nobody is left to tell when standard output is gone.
            let _ = error.print();
            return if asked { ExitCode::SUCCESS } else { EXIT_USAGE.into() };
        }
    };
    let Args { options, command } = args;
    let settings = match Settings::read(options.raw()) {
        Ok(settings) => settings,
        Err(errors) => {
            eprintln!("{errors}");
            return EXIT_USAGE.into();
        }
    };
    match command {
        None => run::operator(settings),
        Some(Command::Analysis(options)) => match Config::read(options) {
            Ok(config) => analysis::run::analysis(settings, config),
            Err(errors) => {
                eprintln!("{errors}");
                EXIT_USAGE.into()
            }
        },
        Some(Command::Crds(Crds::Apply { analysis: false })) => run::once(&settings, crds::apply),
        Some(Command::Crds(Crds::Apply { analysis: true })) => run::once(&settings, crds::apply_analysis),
        Some(Command::Finalizers(Finalizers::Remove { analysis: false })) => {
            run::once(&settings, finalizers::remove)
        }
        Some(Command::Finalizers(Finalizers::Remove { analysis: true })) => {
            run::once(&settings, finalizers::remove_analysis)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_and_the_flags_fit_together() {
        use clap::CommandFactory as _;
        Args::command().debug_assert();
    }

    #[test]
    fn go_style_flags_are_understood() {
        let parse = |flag: &str| Args::try_parse_from(["asya-operator", flag]).unwrap().options.raw();
        assert_eq!(parse("--leader-elect").leader_elect.as_deref(), Some("true"));
        assert_eq!(parse("--leader-elect=false").leader_elect.as_deref(), Some("false"));
        assert_eq!(parse("--metrics-bind-address=:9090").metrics_bind_address.as_deref(), Some(":9090"));
    }
}
