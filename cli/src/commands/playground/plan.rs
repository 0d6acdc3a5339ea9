//! The commands that make a playground. Pure.

use std::path::{Path, PathBuf};

/// Name of the cluster.
pub(super) const NAME: &str = "asya-playground";
/// Namespace of the operator, the broker and the actors: one, because the charts of a trial share it.
pub(super) const NAMESPACE: &str = "asya";
/// Where KEDA's chart is.
const KEDA: &str = "https://kedacore.github.io/charts";
/// How long Helm waits: images are pulled meanwhile.
const PATIENCE: &str = "10m";
/// Images that are ours.
pub(super) const IMAGES: [&str; 2] = ["asya-operator", "asya-sidecar"];
/// The first actor.
pub(super) const EXAMPLE: &str = include_str!("../../../../examples/manifests/handler-from-configmap.yaml");
/// Its name.
pub(super) const ACTOR: &str = "shout";
/// The end actors on a stock image: our images hold none of theirs, and here it is enough that they take what comes.
const ENDS: &str = "asya-crew:\n";

/// What makes clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Tool {
    Kind,
    K3d,
}

impl Tool {
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::K3d => "k3d",
        }
    }

    /// The context that it writes into the kubeconfig.
    pub(super) fn context(self) -> String {
        format!("{}-{NAME}", self.program())
    }
}

/// Where images come from.
#[derive(Clone, Debug)]
pub(super) enum Images {
    /// A registry that the cluster can pull from.
    Registry(String),
    /// Docker on this machine.
    Here {
        /// A checkout whose `make images` builds them; `None`: they are there already.
        build: Option<PathBuf>,
    },
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) tool: Tool,
    /// Whether the cluster is there already.
    pub(super) exists: bool,
    /// Directory of the charts, or `oci://…` in front of their names.
    pub(super) charts: String,
    pub(super) images: Images,
    pub(super) tag: String,
}

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) why: &'static str,
    pub(super) program: &'static str,
    pub(super) arguments: Vec<String>,
    /// What it reads.
    pub(super) input: Option<String>,
    pub(super) directory: Option<PathBuf>,
}

impl Step {
    fn new(why: &'static str, program: &'static str, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Self { why, program, arguments, input: None, directory: None }
    }

    /// As it is typed into a shell.
    pub(super) fn shell(&self) -> String {
        let words =
            std::iter::once(self.program.to_owned()).chain(self.arguments.iter().map(|word| quoted(word)));
        let line = words.collect::<Vec<_>>().join(" ");
        let line = match &self.directory {
            Some(directory) => format!("(cd {} && {line})", quoted(&directory.display().to_string())),
            None => line,
        };
        match &self.input {
            Some(input) => format!("{line} <<'EOF'\n{}\nEOF", input.trim_end()),
            None => line,
        }
    }
}

fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=,@".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// What makes the playground, in order. Each may run again.
pub(super) fn create(wanted: &Wanted) -> Vec<Step> {
    let mut steps = Vec::new();
    let context = wanted.tool.context();
    let tag = &wanted.tag;
    if !wanted.exists {
        let arguments = match wanted.tool {
            Tool::Kind => ["create", "cluster", "--name", NAME, "--wait", "120s"],
            Tool::K3d => ["cluster", "create", NAME, "--wait", "--timeout", "120s"],
        };
        steps.push(Step::new("a cluster", wanted.tool.program(), &arguments));
    }
    if let Images::Here { build } = &wanted.images {
        if let Some(checkout) = build {
            let mut step = Step::new("our images", "make", &["images", &format!("TAG={tag}")]);
            step.directory = Some(checkout.clone());
            steps.push(step);
        }
        let names = IMAGES.map(|image| format!("{image}:{tag}"));
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        steps.push(match wanted.tool {
            Tool::Kind => {
                let arguments = [&["load", "docker-image", "--name", NAME], &names[..]].concat();
                Step::new("the images on its node", "kind", &arguments)
            }
            Tool::K3d => {
                let arguments = [&["image", "import", "--cluster", NAME], &names[..]].concat();
                Step::new("the images on its node", "k3d", &arguments)
            }
        });
    }
    let helm = ["--kube-context", &context, "--create-namespace", "--wait", "--timeout", PATIENCE];
    let keda = ["upgrade", "--install", "keda", "keda", "--repo", KEDA, "--namespace", "keda"];
    steps.push(Step::new("KEDA, which scales", "helm", &[&keda[..], &helm].concat()));
    let chart = if wanted.charts.starts_with("oci://") {
        format!("{}/asya", wanted.charts.trim_end_matches('/'))
    } else {
        let chart = Path::new(&wanted.charts).join("asya").display().to_string();
        steps.push(Step::new("the parts of the chart", "helm", &["dependency", "build", &chart]));
        chart
    };
    let install = ["upgrade", "--install", "asya", &chart, "--namespace", NAMESPACE, "--values", "-"];
    let mut asya = Step::new("broker, operator and end actors", "helm", &[&install[..], &helm].concat());
    asya.input = Some(values(wanted));
    steps.push(asya);
    let kubectl = ["--context", &context, "--namespace", NAMESPACE, "apply", "--filename", "-"];
    let mut example = Step::new("an actor", "kubectl", &kubectl);
    example.input = Some(EXAMPLE.to_owned());
    steps.push(example);
    let ready = [
        "--context",
        &context,
        "--namespace",
        NAMESPACE,
        "wait",
        "--for=jsonpath={.status.status}=Napping",
        &format!("asyncactor/{ACTOR}"),
        "--timeout=120s",
    ];
    steps.push(Step::new("it naps until a message comes", "kubectl", &ready));
    steps
}

/// What removes it.
pub(super) fn delete(tool: Tool) -> Step {
    match tool {
        Tool::Kind => {
            Step::new("the cluster, with all that is in it", "kind", &["delete", "cluster", "--name", NAME])
        }
        Tool::K3d => Step::new("the cluster, with all that is in it", "k3d", &["cluster", "delete", NAME]),
    }
}

/// Values of `charts/asya`.
fn values(wanted: &Wanted) -> String {
    let mut text = String::new();
    if let Images::Registry(registry) = &wanted.images {
        text += &format!("global:\n  imageRegistry: {registry}\n");
    }
    let tag = &wanted.tag;
    text += &format!(
        "trialBroker:\n  enabled: true\n  persistence: {{enabled: false}}\nasya-operator:\n  image: {{tag: \"{tag}\", \
         pullPolicy: IfNotPresent}}\n  sidecar: {{image: \"asya-sidecar:{tag}\"}}\n"
    );
    text += ENDS;
    for end in ["happy-end", "error-end"] {
        text += &format!(
            "  {end}:\n    scaling: {{enabled: true, minReplicas: 0, maxReplicas: 1}}\n    workload:\n      kind: \
             Deployment\n      template:\n        spec:\n          containers:\n          - name: asya-runtime\n            \
             image: python:3.13-slim\n            env:\n            - {{name: ASYA_HANDLER, value: handlers.echo}}\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(tool: Tool) -> Wanted {
        let images = Images::Here { build: Some("/src".into()) };
        Wanted { tool, exists: false, charts: "charts".to_owned(), images, tag: "0.1.0".to_owned() }
    }

    #[test]
    fn a_playground_is_made_of_cluster_images_keda_chart_and_actor_in_this_order() {
        let programs = |steps: Vec<Step>| steps.into_iter().map(|step| step.program).collect::<Vec<_>>();
        let all = programs(create(&wanted(Tool::Kind)));
        assert_eq!(all, ["kind", "make", "kind", "helm", "helm", "helm", "kubectl", "kubectl"]);
        let again = Wanted {
            exists: true,
            images: Images::Registry("r.example.com/a".to_owned()),
            charts: "oci://r.example.com/charts/".to_owned(),
            ..wanted(Tool::K3d)
        };
        let steps = create(&again);
        assert!(steps[1].arguments.contains(&"oci://r.example.com/charts/asya".to_owned()), "{steps:?}");
        assert!(steps[1].input.as_deref().unwrap_or_default().contains("imageRegistry: r.example.com/a"));
        assert_eq!(programs(steps), ["helm", "helm", "kubectl", "kubectl"]);
    }

    #[test]
    fn every_command_names_its_cluster() {
        for tool in [Tool::Kind, Tool::K3d] {
            for step in create(&wanted(tool)).iter().filter(|step| !["make"].contains(&step.program)) {
                let line = step.shell();
                assert!(line.contains(NAME) || line.contains("dependency build"), "{line}");
            }
        }
    }

    #[test]
    fn a_command_can_be_pasted_into_a_shell() {
        assert_eq!(quoted("a b'c"), "'a b'\\''c'");
        let step = &create(&wanted(Tool::Kind))[1];
        assert_eq!(step.shell(), "(cd /src && make images TAG=0.1.0)");
        let kubectl = create(&wanted(Tool::Kind)).pop().map(|step| step.shell()).unwrap_or_default();
        assert!(kubectl.contains("'--for=jsonpath={.status.status}=Napping'"), "{kubectl}");
    }

    #[test]
    fn the_values_are_yaml_with_the_broker_switched_on() {
        let values: serde_json::Value = serde_saphyr::from_str(&values(&wanted(Tool::Kind))).unwrap();
        assert_eq!(values["trialBroker"]["enabled"], true);
        assert_eq!(values["asya-operator"]["sidecar"]["image"], "asya-sidecar:0.1.0");
        let ends = &values["asya-crew"]["error-end"]["workload"]["template"]["spec"]["containers"];
        assert_eq!(ends[0]["name"], "asya-runtime");
    }
}
