//! The objects that are judged: from files, or from a cluster.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use asya_envelope::Naming;
use asya_resources::Step;
use serde_json::Value;

use crate::{
    args::Common,
    broker::Broker,
    cluster::{
        Cluster, ClusterArgs, ClusterError, Resource, find_operator,
        resource::{
            ACTORS, AUTOSCALERS, CONFIG_MAPS, DEPLOYMENTS, SCALED_OBJECTS, STATEFUL_SETS,
            TRIGGER_AUTHENTICATIONS,
        },
    },
    exit::misconfigured,
    manifest::yaml::{self, Node},
    migrate::{Advice, Object, Verdict},
};

/// Label of everything that an operator made for an actor.
const ACTOR_LABEL: &str = "asya.sh/asya";

/// All that is judged.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) found: Vec<Found>,
    /// `ASYA_TRANSPORT_CONFIG` of the operator that runs.
    pub(super) running: Option<Value>,
    /// Its queue template, if it is one of ours.
    pub(super) template: Option<String>,
}

/// An object and where it was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) object: Object,
    file: Option<(String, Node)>,
    /// What only a broker knows about it.
    pub(super) more: Vec<Advice>,
}

impl Found {
    /// File and line; empty in a cluster.
    pub(super) fn place(&self) -> String {
        let Some((file, node)) = &self.file else { return String::new() };
        format!("{file}:{}", node.place.line.max(1))
    }

    /// The line of a path.
    pub(super) fn line(&self, path: &[Step]) -> Option<u64> {
        self.file.as_ref().filter(|_| !path.is_empty()).map(|(_, node)| node.find(path).line)
    }

    fn live(mut value: Value, resource: Resource) -> Self {
        // Lists of the API server leave the kind out.
        value["kind"] = resource.kind.into();
        if let Some(metadata) = value["metadata"].as_object_mut() {
            // Who owns which field says nothing about the move.
            metadata.remove("managedFields");
        }
        if resource == ACTORS {
            value["apiVersion"] = asya_resources::API_VERSION.into();
        }
        Self { object: Object { title: title(&value), value }, file: None, more: Vec::new() }
    }
}

fn title(value: &Value) -> String {
    let metadata = &value["metadata"];
    match (value["kind"].as_str(), metadata["namespace"].as_str(), metadata["name"].as_str().unwrap_or("?")) {
        (Some(kind), Some(namespace), name) => format!("{kind} {namespace}/{name}"),
        (Some(kind), None, name) => format!("{kind} {name}"),
        (None, ..) => "values".to_owned(),
    }
}

/// Every document of the files, and of the YAML files of directories.
///
/// # Errors
/// A file that cannot be read, or that is no YAML.
pub(super) fn files(paths: &[PathBuf]) -> anyhow::Result<Collected> {
    let mut collected = Collected::default();
    for path in paths {
        for file in listed(path)? {
            read(&file, &mut collected.found)?;
        }
    }
    Ok(collected)
}

fn listed(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let wrong = |error: std::io::Error| misconfigured(format!("{}: {error}", path.display()));
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(wrong)? {
        let file = entry.map_err(wrong)?.path();
        if file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
            && file.is_file()
        {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(misconfigured(format!("no .yaml file in {}", path.display())));
    }
    Ok(files)
}

fn read(file: &Path, found: &mut Vec<Found>) -> anyhow::Result<()> {
    let (shown, text) = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        ("standard input".to_owned(), text)
    } else {
        let text = std::fs::read_to_string(file);
        (
            file.display().to_string(),
            text.map_err(|error| misconfigured(format!("{}: {error}", file.display())))?,
        )
    };
    let nodes = yaml::parse(&text).map_err(|error| {
        misconfigured(format!(
            "{shown}:{}: {}; a chart's template must be rendered first: helm template … | asya migrate \
             check -f -",
            error.place.line.max(1),
            error.message
        ))
    })?;
    for node in nodes {
        let value = node.value();
        let object = Object { title: title(&value), value };
        found.push(Found { object, file: Some((shown.clone(), node)), more: Vec::new() });
    }
    Ok(())
}

/// The actors of a cluster, what stands beside them, and what the operator is configured with.
///
/// # Errors
/// No cluster, or no right to read actors. What may not be read beside them is left out.
pub(super) async fn cluster(
    args: &ClusterArgs,
    everywhere: bool,
    common: &Common,
) -> anyhow::Result<Collected> {
    let cluster = args.connect(common).await?;
    let namespace = (!everywhere).then_some(cluster.namespace.as_str());
    let mut collected = Collected::default();
    let actors = cluster.list(ACTORS, namespace, "").await?;
    collected.found.extend(actors.into_iter().map(|actor| Found::live(actor, ACTORS)));
    let mut withheld = Vec::new();
    let around = [
        (SCALED_OBJECTS, ""),
        (TRIGGER_AUTHENTICATIONS, ""),
        (AUTOSCALERS, ""),
        (DEPLOYMENTS, ACTOR_LABEL),
        (STATEFUL_SETS, ACTOR_LABEL),
    ];
    for (resource, labels) in around {
        match cluster.list(resource, namespace, labels).await {
            Ok(objects) => {
                collected.found.extend(objects.into_iter().map(|object| Found::live(object, resource)));
            }
            Err(ClusterError::Uninstalled(_)) => {}
            Err(error) => withheld.push(error.to_string()),
        }
    }
    runtimes(&cluster, &mut collected, &mut withheld).await;
    match find_operator(&cluster).await {
        Ok(operators) => {
            if let Some(operator) = operators.first() {
                let config = operator.env("ASYA_TRANSPORT_CONFIG");
                collected.running = config.and_then(|config| serde_json::from_str(config).ok());
                collected.template = operator.env("ASYA_QUEUE_TEMPLATE").map(str::to_owned);
            }
        }
        Err(error) => withheld.push(error.to_string()),
    }
    for words in withheld {
        crate::output::note(common.output, &format!("not looked at: {words}"));
    }
    if common.transport.is_some() {
        queues(common, &mut collected).await?;
    }
    Ok(collected)
}

/// The ConfigMap `asya-runtime` of each namespace with actors.
async fn runtimes(cluster: &Cluster, collected: &mut Collected, withheld: &mut Vec<String>) {
    let namespaces = collected.found.iter().filter(|found| found.object.value["kind"] == "AsyncActor");
    let mut namespaces: Vec<_> = namespaces
        .filter_map(|found| found.object.value["metadata"]["namespace"].as_str())
        .map(str::to_owned)
        .collect();
    namespaces.sort();
    namespaces.dedup();
    for namespace in namespaces {
        match cluster.get(CONFIG_MAPS, Some(&namespace), "asya-runtime").await {
            Ok(found) => collected.found.extend(found.map(|map| Found::live(map, CONFIG_MAPS))),
            Err(error) => withheld.push(error.to_string()),
        }
    }
}

/// Says of each actor what is on the queue that the Go system called by its name.
async fn queues(common: &Common, collected: &mut Collected) -> anyhow::Result<()> {
    let broker = Broker::open(common, false).await?;
    for found in &mut collected.found {
        let value = &found.object.value;
        let (Some("AsyncActor"), Some(name)) = (value["kind"].as_str(), value["metadata"]["name"].as_str())
        else {
            continue;
        };
        let queue = Naming::bare().queue(name);
        let (message, edit) = match broker.queues.depth(&queue).await {
            Ok(depth) if depth.ready == 0 => continue,
            Ok(depth) => (
                format!("{} messages wait on {queue}", depth.ready),
                "keep the name (queues.template: \"asya-{actor}\"), or let it run empty before the move",
            ),
            Err(error) => (
                format!("queue {queue}: {error}"),
                "nothing, if the actor is new; the operator makes its queue",
            ),
        };
        let path = Vec::new();
        found.more.push(Advice { level: Verdict::Note, path, message, edit: Some(edit.to_owned()) });
    }
    Ok(())
}
