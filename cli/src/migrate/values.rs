//! Values files of the Go system's charts, for ours.

use serde_json::Value;

use super::{Advice, schema, steps, text, value};

/// A chart: its name, keys by which its values are known, and its schema.
struct Chart {
    name: &'static str,
    marks: &'static [&'static str],
    schema: &'static str,
}

macro_rules! chart {
    ($name:literal, $marks:expr) => {
        Chart {
            name: $name,
            marks: $marks,
            schema: include_str!(concat!("../../../charts/", $name, "/values.schema.json")),
        }
    };
}

/// In the order in which they are tried: the umbrella's keys hold those of the others.
const CHARTS: &[Chart] = &[
    chart!("asya", &["asya-operator", "asya-crew", "asya-gateway", "trialBroker"]),
    chart!("asya-operator", &["operator", "transports", "leaderElection", "controller", "runtime"]),
    chart!("asya-crew", &["happy-end", "error-end"]),
    chart!("asya-gateway", &["routes", "postgresql", "externalDatabase", "migration"]),
    chart!("asya-actor", &["actors", "infrastructure", "healthChecks", "default"]),
];

fn find(values: &Value) -> Option<&'static Chart> {
    CHARTS.iter().find(|chart| chart.marks.iter().any(|mark| values.get(mark).is_some()))
}

/// What is to be known about values; nothing about a file that is none of ours.
pub(super) fn advise(values: &Value) -> Option<Vec<Advice>> {
    let chart = find(values)?;
    let rules: Value = serde_json::from_str(chart.schema).expect("the charts' schemas are JSON");
    let mut all: Vec<_> = schema::differences(values, &rules)
        .into_iter()
        .map(|(path, message)| {
            let at = asya_resources::check::path_text(&path).to_string();
            let edit = if message.contains("no value") { format!("delete {at}") } else { String::new() };
            Advice { path, ..Advice::change("", message, edit) }
        })
        .collect();
    match chart.name {
        "asya-operator" => all.extend(operator(values, "")),
        "asya" => all.extend(operator(&values["asya-operator"], "asya-operator.")),
        "asya-gateway" => all.extend(gateway(values)),
        _ => {}
    }
    Some(all)
}

/// `at` stands before every path.
fn operator(values: &Value, at: &str) -> Vec<Advice> {
    let mut all = Vec::new();
    let there = |path: &str| {
        let value = value(values, &steps(path));
        !value.is_null() && value.as_str() != Some("")
    };
    let mut note = |path: &str, message: &str, edit: &str| {
        if there(path) {
            all.push(Advice::note(&format!("{at}{path}"), message, edit));
        }
    };
    note(
        "operator.transports",
        "the Go chart had these keys and read others, so its operator had no transport; here they are read",
        "move it to the top level: transports",
    );
    note(
        "operator.gatewayURL",
        "was not read by the Go chart; here it is, and sidecars begin to report there",
        "move it to the top level: gatewayURL",
    );
    note("runtime.localPath", "is the Go chart's spelling", "runtime.local.path");
    note("runtime.githubRelease", "is the Go chart's spelling", "runtime.github.version");
    note(
        "sidecar.defaultResources",
        "was never passed on; here every sidecar gets it that says nothing itself",
        "compare it with what your sidecars use",
    );
    if !there("queues.template") {
        all.push(Advice::change(
            "",
            "the Go system calls queues asya-<actor>, new installations asya-<namespace>-<actor>: what waits in the old \
             queues would stay there",
            format!("{at}queues.template: \"asya-{{actor}}\""),
        ));
    }
    for image in ["image.repository", "image.tag", "sidecar.image"] {
        if there(image) {
            let shown = text(value(values, &steps(image)));
            all.push(Advice::change(
                &format!("{at}{image}"),
                format!("{shown} is kept by an upgrade: it must be the image of asya-rs"),
                format!("{at}{image}: what `make images` built and you pushed"),
            ));
        }
    }
    let runtime = &values["runtime"];
    if runtime["source"] == "github" && text(&runtime["github"]["sha256"]).is_empty() {
        all.push(Advice::change(
            &format!("{at}runtime.source"),
            "did nothing in the Go chart; here the script is fetched, and only with its checksum",
            format!("{at}runtime.source: local, or {at}runtime.github.sha256: the file's SHA-256"),
        ));
    }
    for base in ["transports", "operator.transports"] {
        let transports = value(values, &steps(base)).as_object().into_iter().flatten();
        for (name, transport) in transports.filter(|(_, transport)| transport["enabled"] != false) {
            let secrets = [
                "passwordSecretRef",
                "credentials.accessKeyIdSecretRef",
                "credentials.secretAccessKeySecretRef",
            ];
            for secret in secrets {
                let named = text(&value(transport, &steps(&format!("config.{secret}")))["name"]);
                if !named.is_empty() {
                    all.push(Advice::note(
                        &format!("{at}{base}.{name}.config.{secret}"),
                        format!("the operator reads no Secret through the API: {named} must be in its own namespace, too"),
                        format!(
                            "kubectl -n asya get secret {named} -o yaml | sed 's/namespace: .*/namespace: asya-system/' | \
                             kubectl apply -f -"
                        ),
                    ));
                }
            }
        }
    }
    all
}

fn gateway(values: &Value) -> Vec<Advice> {
    let mut all = Vec::new();
    if values["postgresql"]["enabled"] == true {
        all.push(Advice::note(
            "postgresql.enabled",
            "named a chart that was not there; here it is a single PostgreSQL for trying it out",
            "externalDatabase.host for anything that matters",
        ));
    }
    let ingress = values["ingress"]["enabled"] == true || values["autoscaling"]["enabled"] == true;
    if ingress {
        let message = "ingress and autoscaling had no templates in the Go chart; here they take effect";
        all.push(Advice::note("", message, ""));
    }
    all
}
