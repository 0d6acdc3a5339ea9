//! Values of `spec.sidecar.env`, read as the sidecar would at its start: a wrong one is better found here than by a pod.

use asya_resources::{AsyncActor, EnvVar, Problem, Severity, Step};
use asya_sidecar::{args::Args, settings::Settings};

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

/// What is wrong with the values that stand there, and names that no sidecar knows.
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
        Some(problem(index, "value", Severity::Error, error))
    });
    // An embedded handler has the same environment, and may read what it likes.
    let unknown = env
        .iter()
        .enumerate()
        .filter(|(_, EnvVar { name, .. })| !spec.embedded && name.starts_with(OURS) && !Args::reads(name));
    let unknown = unknown.map(|(index, variable)| {
        let message = format!("no sidecar reads {}: it is passed over", variable.name);
        problem(index, "name", Severity::Warning, message)
    });
    wrong.chain(unknown).collect()
}

/// What stands there, if it is all of the value: no other variable is referred to.
fn literal(variable: &EnvVar) -> Option<String> {
    variable.value.clone().filter(|value| !value.contains('$'))
}

fn problem(index: usize, field: &str, severity: Severity, message: String) -> Problem {
    let key = |name: &str| Step::Key(name.to_owned());
    let path = vec![key("spec"), key("sidecar"), key("env"), Step::Index(index), key(field)];
    Problem { path, severity, message }
}
