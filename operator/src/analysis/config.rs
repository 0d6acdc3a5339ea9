//! What the process is told besides what every operator is.

use super::subject::is_label;
use crate::settings::Errors;

/// Image of the actors unless told otherwise: that of the release is set by the chart.
const IMAGE: &str = "asya-crew:latest";
/// Transport of the actors unless told otherwise.
const TRANSPORT: &str = "rabbitmq";
/// Secret with the database's address, in the namespace of each `K8sGPT`, unless told otherwise.
const DATABASE_SECRET: &str = "asya-analysis-database";
/// Its key.
const DATABASE_KEY: &str = "url";
/// The rights in the cluster that is watched, as the chart names them.
const WATCH_ROLE: &str = "asya-analysis-watch";

/// The options as they are written; an empty one counts as not set.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Options {
    /// Image of the actors, asya-crew or built on it [default: asya-crew:latest]
    #[arg(long, env = "ASYA_ANALYSIS_IMAGE", value_name = "IMAGE")]
    pub image: Option<String>,
    /// When it is pulled: Always, IfNotPresent or Never
    #[arg(long, env = "ASYA_ANALYSIS_IMAGE_PULL_POLICY", value_name = "POLICY")]
    pub image_pull_policy: Option<String>,
    /// Transport of the actors, as AsyncActors name it [default: rabbitmq]
    #[arg(long, env = "ASYA_ANALYSIS_TRANSPORT", value_name = "NAME")]
    pub transport: Option<String>,
    /// Secret with the database's address, in the namespace of each K8sGPT [default: asya-analysis-database]
    #[arg(long, env = "ASYA_ANALYSIS_DATABASE_SECRET", value_name = "NAME")]
    pub database_secret: Option<String>,
    /// Its key [default: url]
    #[arg(long, env = "ASYA_ANALYSIS_DATABASE_KEY", value_name = "KEY")]
    pub database_key: Option<String>,
    /// ClusterRole with what may be read of the cluster that is watched [default: asya-analysis-watch]
    #[arg(long, env = "ASYA_ANALYSIS_WATCH_ROLE", value_name = "NAME")]
    pub watch_role: Option<String>,
    /// Whether changes may be proposed: the policy and the ClusterRoles for it are there [default: false]
    #[arg(long, env = "ASYA_ANALYSIS_REMEDIATION", value_name = "BOOL")]
    pub remediation: Option<String>,
}

/// What the process was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Image of the actors.
    pub image: String,
    /// When it is pulled; `None` = Kubernetes' default.
    pub pull_policy: Option<String>,
    /// Transport of the actors.
    pub transport: String,
    /// Secret with the database's address.
    pub database_secret: String,
    /// Its key.
    pub database_key: String,
    /// ClusterRole with what may be read of the cluster that is watched.
    pub watch_role: String,
    /// Whether changes may be proposed: the policy and the ClusterRoles for it are there.
    pub remediation: bool,
}

impl Config {
    /// Reads the options.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn read(options: Options) -> Result<Self, Errors> {
        let Options {
            image,
            image_pull_policy,
            transport,
            database_secret,
            database_key,
            watch_role,
            remediation,
        } = options;
        let filled =
            |value: Option<String>| value.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let or = |value: Option<String>, default: &str| filled(value).unwrap_or_else(|| default.to_owned());
        let remediation = or(remediation, "false");
        let config = Self {
            image: or(image, IMAGE),
            pull_policy: filled(image_pull_policy),
            transport: or(transport, TRANSPORT),
            database_secret: or(database_secret, DATABASE_SECRET),
            database_key: or(database_key, DATABASE_KEY),
            watch_role: or(watch_role, WATCH_ROLE),
            remediation: remediation == "true",
        };
        let mut errors = Vec::new();
        if let Some(policy) = &config.pull_policy
            && !["Always", "IfNotPresent", "Never"].contains(&policy.as_str())
        {
            errors.push(format!(
                "ASYA_ANALYSIS_IMAGE_PULL_POLICY: {policy:?} is none of Always, IfNotPresent, Never"
            ));
        }
        if !["true", "false"].contains(&remediation.as_str()) {
            errors.push(format!("ASYA_ANALYSIS_REMEDIATION: {remediation:?} is neither true nor false"));
        }
        if !config.database_secret.split('.').all(is_label) {
            errors.push(format!(
                "ASYA_ANALYSIS_DATABASE_SECRET: {:?} is no name of a Secret",
                config.database_secret
            ));
        }
        if errors.is_empty() { Ok(config) } else { Err(Errors(errors)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_is_the_default() {
        let options = Options { transport: Some(" ".to_owned()), ..Options::default() };
        let config = Config::read(options).unwrap();
        assert_eq!((config.transport.as_str(), config.database_key.as_str()), ("rabbitmq", "url"));
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let options = Options {
            image_pull_policy: Some("always".to_owned()),
            database_secret: Some("My Secret".to_owned()),
            remediation: Some("yes".to_owned()),
            ..Options::default()
        };
        let Errors(errors) = Config::read(options).unwrap_err();
        assert_eq!(errors.len(), 3, "{errors:?}");
    }
}
