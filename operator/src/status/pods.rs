//! What keeps a pod from working.

use jiff::{SignedDuration, Timestamp};

use asya_resources::{RUNTIME_CONTAINER, SIDECAR_CONTAINER};

/// A container that restarted more often is in trouble even while it runs: the contract's bound.
const MANY_RESTARTS: i32 = 5;
/// A sandbox that is not there so long after the pod got its node waits for a volume or the network, not for luck.
const SLOW_SANDBOX: SignedDuration = SignedDuration::from_mins(2);

/// What is known of one pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// Why it is in its phase, in the cluster's words: `Evicted`, for example.
    pub reason: String,
    /// The scheduler's words, while it has no node.
    pub unschedulable: Option<String>,
    /// Since when it has a node and no sandbox.
    pub without_sandbox: Option<Timestamp>,
    /// Its containers, init containers included.
    pub containers: Vec<Container>,
}

/// What is known of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Restarts.
    pub restarts: i32,
    /// Why it waits: `CrashLoopBackOff`, for example.
    pub waiting: Option<String>,
    /// The cluster's words about it.
    pub message: String,
    /// How its last run ended: reason and exit code.
    pub ended: Option<(String, i32)>,
}

/// What keeps a pod from working, the worst of it first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// No node has room.
    Resources,
    /// An image cannot be pulled.
    Image,
    /// A ConfigMap or Secret is missing.
    Config,
    /// A volume cannot be mounted.
    Volume,
    /// The handler's container keeps ending.
    Runtime,
    /// The sidecar keeps ending.
    Sidecar,
    /// Anything else.
    Other,
}

impl Pod {
    /// What keeps this pod from working, with a sentence; `None` while it works or may still come up.
    pub fn trouble(&self, now: Timestamp) -> Option<(Trouble, String)> {
        if self.terminating || self.phase == "Succeeded" {
            return None;
        }
        let name = &self.name;
        if let Some(words) = &self.unschedulable {
            return Some((Trouble::Resources, format!("pod {name} finds no node: {words}")));
        }
        if let Some(found) = self.containers.iter().filter_map(|container| container.trouble(name)).min() {
            return Some(found);
        }
        if self.phase == "Failed" {
            return Some((
                Trouble::Other,
                format!("pod {name} failed: {}", or(&self.reason, "no reason given")),
            ));
        }
        if self.without_sandbox.is_some_and(|since| now.duration_since(since) > SLOW_SANDBOX) {
            return Some((
                Trouble::Volume,
                format!(
                    "pod {name} waits for a volume or the network (MountVolume): kubectl describe pod {name} says which"
                ),
            ));
        }
        None
    }
}

impl Container {
    fn trouble(&self, pod: &str) -> Option<(Trouble, String)> {
        let name = &self.name;
        let ended = self.ended.as_ref().map_or_else(String::new, |(reason, code)| {
            format!("; it ended with {} (exit code {code})", or(reason, "Error"))
        });
        let words = if self.message.is_empty() { String::new() } else { format!(": {}", self.message) };
        let sentence = |reason: &str| format!("container {name} of pod {pod}: {reason}{words}{ended}");
        match self.waiting.as_deref() {
            Some(reason @ ("ImagePullBackOff" | "ErrImagePull" | "InvalidImageName")) => {
                Some((Trouble::Image, sentence(reason)))
            }
            Some(reason @ ("CreateContainerConfigError" | "CreateContainerError")) => {
                let lower = self.message.to_lowercase();
                let missing =
                    (lower.contains("configmap") || lower.contains("secret")) && lower.contains("not found");
                let kind = if missing { Trouble::Config } else { Trouble::Other };
                Some((kind, sentence(reason)))
            }
            Some(reason @ ("CrashLoopBackOff" | "RunContainerError")) => Some((
                self.crash(),
                format!("{}; kubectl logs {pod} -c {name} --previous says why", sentence(reason)),
            )),
            _ if self.restarts > MANY_RESTARTS => {
                Some((self.crash(), sentence(&format!("restarted {} times", self.restarts))))
            }
            _ => None,
        }
    }

    fn crash(&self) -> Trouble {
        match self.name.as_str() {
            RUNTIME_CONTAINER => Trouble::Runtime,
            SIDECAR_CONTAINER => Trouble::Sidecar,
            _ => Trouble::Other,
        }
    }
}

fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}
