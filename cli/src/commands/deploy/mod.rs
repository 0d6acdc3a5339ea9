//! `asya deploy`.

mod objects;
mod source;
mod wait;

use std::{path::PathBuf, time::Duration};

use asya_envelope::ActorName;
use asya_resources::{Delay, platform::DEFAULT_PYTHON_IMAGE};
use clap::Args;
use serde_json::{Value, json};

use crate::{
    args::Common,
    cluster::{
        Cluster, ClusterArgs, ClusterError,
        client::MANAGER,
        find_operator,
        resource::{ACTORS, CONFIG_MAPS},
    },
    exit::{self, misconfigured},
    output::{Output, note, print, yaml},
};
use objects::{HANDLER_OF, MANAGED_BY, Wanted};
use source::Source;

/// The transport of an operator that cannot be asked.
const TRANSPORT: &str = "rabbitmq";
/// Queue names of an operator that says none.
const TEMPLATE: &str = "asya-{namespace}-{actor}";
/// Versions of a handler that are kept: the running one, and one for pods that start while the actor rolls.
const KEPT_VERSIONS: usize = 2;

/// Run a Python file as an actor on a cluster, without building an image
///
/// The file becomes a ConfigMap, mounted into pods of a stock Python image. Deploying it again rolls the pods if the
/// file is another one; options that are left out stay as they are.
#[derive(Debug, Args)]
#[command(
    after_help = "The file may import what comes with Python and with the image; more needs an image of your own (--image).\n\n\
    Examples:\n  asya deploy ./shout.py\n  asya deploy ./shout.py --dry-run > shout.yaml\n  \
    asya deploy ./ocr.py --handler read --name ocr --image registry.example.com/ocr-base:1 --max 20 -n prod\n  \
    asya deploy ./shout.py --replicas 1 --env LANGUAGE=de    (without KEDA)"
)]
pub(crate) struct Deploy {
    /// The handler's Python file
    file: PathBuf,
    /// The actor's name [default: the file's, with - for _]
    #[arg(long)]
    name: Option<String>,
    /// What is called: a function or class of the file [default: as before, else handle, handler, process, the file's name,
    /// or the only function]
    #[arg(long, value_name = "FUNCTION")]
    handler: Option<String>,
    /// Image with Python 3.10 or newer [default: as before, else python:3.13-slim]
    #[arg(long)]
    image: Option<String>,
    /// Least replicas [default: as before, else 0]
    #[arg(long, value_name = "N", conflicts_with = "replicas")]
    min: Option<u32>,
    /// Most replicas [default: as before, else 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "replicas")]
    max: Option<u32>,
    /// A fixed number of replicas: no scaling, and no KEDA needed
    #[arg(long, value_name = "N")]
    replicas: Option<u32>,
    /// A variable of the handler's environment
    #[arg(long = "env", short, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// The operator's transport [default: as before, else the operator's only one, else rabbitmq]
    #[arg(long, value_name = "NAME")]
    via: Option<String>,
    /// Print the objects and change nothing; needs no cluster
    #[arg(long)]
    dry_run: bool,
    /// Do not look into the file with the local Python
    #[arg(long)]
    no_check: bool,
    /// How long to wait for the actor; 0s = not at all
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    wait: Duration,
    #[command(flatten)]
    cluster: ClusterArgs,
}

fn duration(text: &str) -> Result<Duration, String> {
    Delay::parse(text).map(|delay| delay.0)
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) =
        text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("must be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Deploy {
    pub(crate) async fn run(self, common: Common) -> anyhow::Result<u8> {
        let output = common.output;
        let source = Source::read(&self.file)?;
        let name = self.name.clone().unwrap_or_else(|| source.module.to_lowercase().replace('_', "-"));
        let name = name.trim_matches('-').to_owned();
        ActorName::parse(&name).map_err(|error| misconfigured(format!("{error}; choose one with --name")))?;
        if let (Some(min), Some(max)) = (self.min, self.max)
            && min > max
        {
            return Err(misconfigured(format!("--min {min} is above --max {max}")));
        }
        let (mut found, why) = source.inspect().await;
        if let Some(why) = why.filter(|_| !self.no_check) {
            note(output, &why);
        }
        if self.no_check {
            found = found.unchecked();
        }
        let cluster = if self.dry_run { None } else { Some(self.cluster.connect(&common).await?) };
        let before = match &cluster {
            Some(cluster) => existing(cluster, &name).await?,
            None => None,
        };
        let spec = before.as_ref().map(|before| &before["spec"]);
        let handled = spec.and_then(|spec| spec["handler"].as_str());
        let handler = source.handler(self.handler.as_deref(), handled, &found)?;
        let transport = match (&self.via, spec.is_some(), &cluster) {
            (Some(named), ..) => Some(named.clone()),
            (None, true, _) => None,
            (None, false, Some(cluster)) => Some(transport(cluster).await?),
            (None, false, None) => Some(TRANSPORT.to_owned()),
        };
        let wanted = Wanted {
            namespace: cluster
                .as_ref()
                .map(|cluster| cluster.namespace.clone())
                .or_else(|| self.cluster.namespace.clone()),
            name,
            handler,
            transport,
            image: self.image.clone(),
            min: self.min,
            max: self.max,
            replicas: self.replicas,
            env: self.env.clone(),
        };
        let config_map = objects::config_map(&wanted, &source);
        let mounted = config_map["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let actor = objects::actor(&wanted, &source, &mounted, spec);
        if let Some(words) = imports(&found.foreign, &actor) {
            note(output, &words);
        }
        let Some(cluster) = cluster else {
            match output {
                Output::Human => print(yaml(&[config_map, actor])?.trim_end()),
                Output::Json => {
                    for object in [config_map, actor] {
                        output.line(&object, String::new);
                    }
                }
            }
            return Ok(exit::OK);
        };
        apply(&cluster, &config_map, &actor, before.as_ref(), output).await?;
        if self.wait.is_zero() {
            return Ok(exit::OK);
        }
        let ended = wait::until_good(&cluster, &wanted.name, self.wait, output).await?;
        report(&cluster, &wanted, &ended, output).await
    }
}

/// The actor as it is, if there is one that this command made.
async fn existing(cluster: &Cluster, name: &str) -> anyhow::Result<Option<Value>> {
    let Some(actor) = cluster.get(ACTORS, Some(&cluster.namespace), name).await? else { return Ok(None) };
    if actor["metadata"]["labels"][MANAGED_BY.0] != MANAGED_BY.1 {
        let namespace = &cluster.namespace;
        anyhow::bail!(
            "actor {name} of namespace {namespace} was not made by asya deploy, which leaves it alone: choose another name \
             with --name, or delete it first (kubectl -n {namespace} delete asyncactor {name})"
        );
    }
    anyhow::ensure!(
        actor["metadata"]["deletionTimestamp"].is_null(),
        "actor {name} is being deleted; try again when it is gone"
    );
    Ok(Some(actor))
}

/// The only transport of the operator.
async fn transport(cluster: &Cluster) -> anyhow::Result<String> {
    let operators = match find_operator(cluster).await {
        Ok(operators) => operators,
        // Who may deploy actors may often not look at the operator.
        Err(ClusterError::Forbidden(_)) => return Ok(TRANSPORT.to_owned()),
        Err(error) => return Err(error.into()),
    };
    let config = operators.first().and_then(|operator| operator.env("ASYA_TRANSPORT_CONFIG"));
    let config: Value = config.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let enabled = config["transports"].as_object().into_iter().flatten();
    let names: Vec<_> =
        enabled.filter(|(_, transport)| transport["enabled"] == true).map(|(name, _)| name.clone()).collect();
    match &names[..] {
        [] => Ok(TRANSPORT.to_owned()),
        [only] => Ok(only.clone()),
        several => Err(misconfigured(format!(
            "the operator has several transports; choose with --via: {}",
            several.join(", ")
        ))),
    }
}

/// A note about imports that a stock image does not have.
fn imports(foreign: &[String], actor: &Value) -> Option<String> {
    let image = actor["spec"]["handlerFrom"]["image"].as_str().unwrap_or(DEFAULT_PYTHON_IMAGE);
    let (near, far): (Vec<_>, Vec<_>) = foreign.iter().partition(|module| *module == ".");
    let mut words = Vec::new();
    if !far.is_empty() && image.starts_with("python:") {
        let far: Vec<_> = far.into_iter().map(String::as_str).collect();
        let far = far.join(", ");
        words.push(format!(
            "it imports {far}, which {image} does not have: choose an image that has it with --image"
        ));
    }
    if !near.is_empty() {
        words.push("it imports from its own package, but only this one file is deployed".to_owned());
    }
    if words.is_empty() { None } else { Some(words.join("; ")) }
}

async fn apply(
    cluster: &Cluster,
    config_map: &Value,
    actor: &Value,
    before: Option<&Value>,
    output: Output,
) -> anyhow::Result<()> {
    let namespace = Some(cluster.namespace.as_str());
    let name = actor["metadata"]["name"].as_str().unwrap_or_default();
    cluster.apply(CONFIG_MAPS, namespace, config_map, MANAGER, true).await?;
    let applied = match cluster.apply(ACTORS, namespace, actor, MANAGER, true).await {
        Ok(applied) => applied,
        Err(error) => {
            let mounted = config_map["metadata"]["name"].as_str().unwrap_or_default();
            if before.is_none() {
                // Nobody mounts it: the actor that would own it was refused.
                cluster.delete(CONFIG_MAPS, namespace, mounted).await?;
            }
            return Err(error.into());
        }
    };
    let mut owned = config_map.clone();
    owned["metadata"]["ownerReferences"] = json!([{
        "apiVersion": asya_resources::API_VERSION, "kind": asya_resources::KIND, "name": name,
        "uid": applied["metadata"]["uid"],
    }]);
    cluster.apply(CONFIG_MAPS, namespace, &owned, MANAGER, true).await?;
    let done = match before {
        None => "made",
        Some(before) if before["metadata"]["generation"] == applied["metadata"]["generation"] => "unchanged",
        Some(_) => "changed",
    };
    let map = config_map["metadata"]["name"].as_str().unwrap_or_default();
    output.line(
        &json!({"actor": name, "namespace": cluster.namespace, "handler": actor["spec"]["handler"],
            "configMap": map, "result": done}),
        || {
            let handler = actor["spec"]["handler"].as_str().unwrap_or_default();
            format!(
                "actor {name} {done} in namespace {}: handler {handler}, ConfigMap {map}",
                cluster.namespace
            )
        },
    );
    clean(cluster, name, map).await;
    Ok(())
}

/// Deletes older versions. What fails here fails again next time, and keeps nobody from working.
async fn clean(cluster: &Cluster, name: &str, current: &str) {
    let namespace = Some(cluster.namespace.as_str());
    let labels = format!("{}={},{HANDLER_OF}={name}", MANAGED_BY.0, MANAGED_BY.1);
    let Ok(mut found) = cluster.list(CONFIG_MAPS, namespace, &labels).await else { return };
    let text = |object: &Value, key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
    found.retain(|object| text(object, "name") != current);
    found.sort_by_key(|object| std::cmp::Reverse(text(object, "creationTimestamp")));
    for old in found.iter().skip(KEPT_VERSIONS - 1) {
        let _ = cluster.delete(CONFIG_MAPS, namespace, &text(old, "name")).await;
    }
}

async fn report(
    cluster: &Cluster,
    wanted: &Wanted,
    ended: &wait::Ended,
    output: Output,
) -> anyhow::Result<u8> {
    let (name, namespace) = (&wanted.name, &cluster.namespace);
    let words = || match ended.word.as_str() {
        "Napping" => format!("{name} is Napping: no pod runs until the first envelope wakes it"),
        "Paused" => format!("{name} is Paused: no pod runs until somebody takes spec.paused away"),
        word => format!("{name} is {word}"),
    };
    if ended.good {
        output.line(&json!({"actor": name, "namespace": namespace, "status": ended.word}), words);
        if output == Output::Human {
            print(&format!("\nNext:\n{}", next(cluster, name).await));
        }
        return Ok(exit::OK);
    }
    output.line(
        &json!({"actor": name, "namespace": namespace, "status": ended.word, "troubles": ended.troubles}),
        || if ended.seen { words() } else { format!("no operator has looked at {name} yet") },
    );
    let mut troubles = ended.troubles.clone();
    if troubles.iter().any(|trouble| trouble.contains("KedaNotInstalled")) {
        troubles.push("without KEDA: asya deploy … --replicas 1".to_owned());
    }
    if !ended.seen {
        troubles.push(format!(
            "does an operator run, and does it look after namespace {namespace}? `kubectl get deployments -A -l \
             app.kubernetes.io/name=asya-operator`"
        ));
    } else if troubles.is_empty() {
        troubles.push(format!("`kubectl -n {namespace} describe asyncactor {name}` says more"));
    }
    anyhow::bail!("the actor is not ready\n{}", troubles.join("\n"))
}

/// The commands that send it an envelope.
async fn next(cluster: &Cluster, name: &str) -> String {
    let template = match find_operator(cluster).await {
        Ok(operators) => {
            let template = operators.first().and_then(|operator| operator.env("ASYA_QUEUE_TEMPLATE"));
            template.unwrap_or(TEMPLATE).to_owned()
        }
        Err(_) => TEMPLATE.to_owned(),
    };
    let namespace = &cluster.namespace;
    let environment = if template == TEMPLATE {
        format!("  export ASYA_QUEUE_TEMPLATE='{template}' ASYA_NAMESPACE={namespace}\n")
    } else {
        String::new()
    };
    format!(
        "{environment}  asya send {name} '{{\"text\": \"hello\"}}' --transport rabbitmq://USER:PASSWORD@HOST    # or sqs://REGION\n  \
         kubectl -n {namespace} get asyncactor {name} -w"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_that_a_stock_image_lacks_are_noted() {
        let stock = json!({"spec": {"handlerFrom": {}}});
        let words = imports(&["numpy".to_owned(), ".".to_owned()], &stock).unwrap();
        assert!(words.contains("numpy, which python:3.13-slim does not have") && words.contains("one file"));
        let own = json!({"spec": {"handlerFrom": {"image": "mine:1"}}});
        assert_eq!(imports(&["numpy".to_owned()], &own), None);
        assert_eq!(imports(&[], &stock), None);
    }
}
