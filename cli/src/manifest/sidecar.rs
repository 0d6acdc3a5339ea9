//! Values of `spec.sidecar.env`, read as the sidecar would at its start: a wrong one is better found here than by a pod. And
//! what is meant for it, and stands where the handler's variables are.

use asya_resources::{AsyncActor, EnvVar, Problem, RUNTIME_CONTAINER, Severity, Step};
use asya_sidecar::{args::Args, settings::Settings};

use crate::up::sidecar::is_engines;

/// What platforms' variables begin with.
const OURS: &str = "ASYA_";
/// Variables whose values mean something only with others that the operator adds, or that name what would be opened.
const NOT_READ: [&str; 9] = [
    "ASYA_TRANSPORT",
    "ASYA_LOCAL_PATH",
    "ASYA_QUEUE_TEMPLATE",
    "ASYA_NAMESPACE",
    "ASYA_RUNTIME",
    "ASYA_HTTP_URL",
    "ASYA_PAYLOAD_STORE",
    "ASYA_SQS_ACCESS_KEY_ID_FILE",
    "ASYA_SQS_SECRET_ACCESS_KEY_FILE",
];

/// What is wrong with the values that stand there, names that no sidecar knows, and those that it does not get to see.
pub(super) fn check(actor: &AsyncActor) -> Vec<Problem> {
    let spec = &actor.spec;
    let env = spec.sidecar.as_ref().map(|sidecar| &*sidecar.env).unwrap_or_default();
    // Of several the last one counts, as in a container.
    let last = |name: &str| env.iter().enumerate().rfind(|(_, variable)| variable.name == name);
    let find = |name: &str| match name {
        "ASYA_ACTOR_NAME" => Some(actor.metadata.name.clone()),
        name if NOT_READ.contains(&name) => None,
        name => last(name).and_then(|(_, variable)| literal(variable)),
    };
    let errors = Settings::read(Args::of(find)).err().map(|errors| errors.0).unwrap_or_default();
    let wrong = errors.into_iter().filter_map(|error| {
        let (index, _) = last(error.split_once(':')?.0)?;
        Some(problem(own(index), "value", Severity::Error, error))
    });
    // An embedded handler has the same environment, and may read what it likes.
    let unknown = env
        .iter()
        .enumerate()
        .filter(|(_, EnvVar { name, .. })| !spec.embedded && name.starts_with(OURS) && !Args::reads(name));
    let unknown = unknown.map(|(index, variable)| {
        let message = format!("no sidecar reads {}: it is passed over", variable.name);
        problem(own(index), "name", Severity::Warning, message)
    });
    wrong.chain(unknown).chain(misplaced(actor)).collect()
}

/// What only a sidecar would read, in the environment of the runtime. Who tells the sidecar too may want the handler to know.
fn misplaced(actor: &AsyncActor) -> Vec<Problem> {
    let spec = &actor.spec;
    if spec.embedded {
        return Vec::new();
    }
    let is_told = |name: &str| {
        spec.sidecar.iter().flat_map(|sidecar| &sidecar.env).any(|variable| variable.name == name)
    };
    let find = |place: &[Step], env: &[EnvVar]| {
        let found = env.iter().enumerate().filter(|(_, variable)| {
            let name = &variable.name;
            is_engines(name) && !is_told(name)
        });
        let problems = found.map(|(index, EnvVar { name, .. })| {
            let message =
                format!("{name} means something in spec.sidecar.env only: no sidecar reads it here");
            problem([place, &[key("env"), Step::Index(index)]].concat(), "name", Severity::Warning, message)
        });
        problems.collect::<Vec<_>>()
    };
    let containers = spec.workload.template.spec.containers.iter().enumerate();
    let runtime = containers.filter(|(_, container)| container.name == RUNTIME_CONTAINER).flat_map(
        |(index, container)| {
            let mut place = ["spec", "workload", "template", "spec", "containers"].map(key).to_vec();
            place.push(Step::Index(index));
            find(&place, &container.env)
        },
    );
    find(&[key("spec")], &spec.env).into_iter().chain(runtime).collect()
}

/// What stands there, if it is all of the value: no other variable is referred to.
fn literal(variable: &EnvVar) -> Option<String> {
    variable.value.clone().filter(|value| !value.contains('$'))
}

/// The place of a variable of `spec.sidecar.env`.
fn own(index: usize) -> Vec<Step> {
    vec![key("spec"), key("sidecar"), key("env"), Step::Index(index)]
}

fn key(name: &str) -> Step {
    Step::Key(name.to_owned())
}

fn problem(mut path: Vec<Step>, field: &str, severity: Severity, message: String) -> Problem {
    path.push(key(field));
    Problem { path, severity, message }
}
