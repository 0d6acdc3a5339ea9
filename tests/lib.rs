//! What the tests across rooms share: servers, processes, queues of a real broker, objects of a real API server.

pub mod agents;
pub mod analysis;
pub mod bare;
pub mod broker;
pub mod cluster;
pub mod faulty;
pub mod former;
pub mod inbox;
pub mod installed;
pub mod kubernetes;
pub mod manifests;
pub mod model;
pub mod operator;
pub mod people;
pub mod pods;
pub mod process;
pub mod results;
pub mod script;
pub mod situation;
pub mod socket;

/// The value of a variable that tests/servers sets, or a loud word that the test does not run; a failure where
/// `CI=true`, because a machine must have its servers.
///
/// # Panics
/// Where `CI=true` and the variable is not set.
pub fn server(variable: &str) -> Option<String> {
    let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!ci, "{variable} is not set: tests/servers/all.sh start did not provide it");
        eprintln!(
            "NOT RUN: {variable} is not set; start the servers with tests/servers/all.sh start, or use make test"
        );
    }
    value
}
