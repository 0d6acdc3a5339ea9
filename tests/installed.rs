//! Agents as they are installed on a cluster: the charts of their tools and an `Agent` on a real API server, the operator that makes
//! pods of them, the pods as processes with what the operator gave them, RabbitMQ between them, and a gateway that reads what
//! the operator tells of agents.
//!
//! Two things are not as on a cluster: there are no images, so that the programs are those of this build; and a pod's token is a
//! file of this machine, one per account, with the same rights.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Stdio};

use anyhow::{Context, Result, ensure};
use asya_resources::agent::REGISTRY;
use kube::api::{DeleteParams, DynamicObject, ListParams};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    process::{Child, Command},
};

use crate::{
    broker,
    cluster::{Cluster, eventually},
    operator::{Operator, Settings},
    people::{AGENT, People, tokens},
    process::{program, root},
};

/// The gateway's Deployment.
pub const GATEWAY: &str = "gateway";
/// The operator, which is no pod here.
pub const OPERATOR: &str = "operator";
/// Tools that look into the cluster or change it: each has an account.
pub const TOOLS: [&str; 3] = ["k8s-read", "analyze", "k8s-write"];
/// All actors.
pub const ACTORS: [&str; 7] =
    [AGENT, "k8s-read", "analyze", "k8s-write", "approval", "happy-end", "error-end"];
/// What sidecars show the gateway.
const SIDECARS: &str = "sidecars-0123456789abcdef";

/// A cluster on which agents are installed.
pub struct Installed {
    /// Where they run.
    pub home: Cluster,
    /// What they look after.
    pub shop: Cluster,
    /// Who talks with them.
    pub people: People,
    /// How often who was killed.
    pub kills: BTreeMap<&'static str, usize>,
    folder: TempDir,
    settings: Settings,
    operator: Option<Operator>,
    kubelets: Vec<Child>,
}

impl Installed {
    /// Installs them, with a model at this base URL, and waits until one can talk with the agent; `None`, said loudly, where the
    /// tests have no servers for it.
    ///
    /// # Errors
    /// What does not come to run.
    pub async fn new(test: &str, model: &str) -> Result<Option<Self>> {
        let (Some(home), Some(shop)) = (Cluster::new(test).await?, Cluster::new("shop").await?) else {
            return Ok(None);
        };
        let Some(rabbitmq) = crate::server("ASYA_TEST_RABBITMQ_URL") else { return Ok(None) };
        if !tool("helm")?.exists() {
            eprintln!("NOT RUN: there is no helm; tests/servers/kubernetes.sh start has said why");
            return Ok(None);
        }
        // Pods have a /tmp of their own, which would stand for this one.
        let folder = tempfile::Builder::new().prefix("asya-i").tempdir_in("/var/tmp")?;
        let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
        let people =
            People { address, home: folder.path().to_owned(), logs: folder.path().join("pods/logs") };
        let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        let sidecars = json!([
            {"name": "ASYA_GATEWAY_TOKEN_PATH", "value": file("sidecars")},
            {"name": "KUBECONFIG", "value": file("$(ASYA_ACTOR_NAME).kubeconfig")},
        ]);
        let settings = Settings::of(&home)
            .env("ASYA_AGENTS", "true")
            .env("ASYA_GATEWAY_URL", &format!("http://{address}"))
            .env("ASYA_SIDECAR_ENV", &sidecars.to_string())
            // As its pod has them: the name stays when the container is started again.
            .env("ASYA_POD_NAME", "asya-operator-0")
            .flag("--leader-elect");
        // Who is killed comes again at once, however often.
        let kubelets = vec![kubelet(&home, &folder, "pods", 0)?];
        let kills = BTreeMap::new();
        let mut it = Self { home, shop, people, kills, folder, settings, operator: None, kubelets };
        it.install(model, &rabbitmq).await?;
        Ok(Some(it))
    }

    async fn install(&mut self, model: &str, rabbitmq: &str) -> Result<()> {
        fs::write(self.file("tokens.yaml"), tokens())?;
        fs::write(self.file("sidecars"), SIDECARS)?;
        let values = values(&self.shop.namespace, model);
        fs::write(self.file("values.json"), values.to_string())?;
        let values = self.file("values.json").to_string_lossy().into_owned();
        self.helm(&["install", "asya-crew", &chart("asya-crew")]).await?;
        self.helm(&["install", "asya-agents", &chart("asya-agents"), "--values", &values]).await?;
        for tool in TOOLS {
            self.account(tool).await?;
        }
        self.home.apply(&self.gateway(rabbitmq)?).await?;
        self.start_operator().await?;
        self.home
            .until("Agent", AGENT, "is ready", |agent| {
                crate::cluster::condition(agent, "Ready").is_some_and(|it| it["status"] == "True")
            })
            .await
            .with_context(|| self.words())?;
        self.people.are_heard().await?;
        self.people
            .until("the agent can be talked with", async || {
                let agents = self.people.good("alice", "GET", "/api/v1/agents", None).await?;
                Ok(agents["agents"].as_array().is_some_and(|all| all.iter().any(|it| it["name"] == AGENT)))
            })
            .await?;
        for tool in TOOLS {
            eventually(&format!("{tool} runs"), async || {
                Ok((!self.processes(tool)?.is_empty()).then_some(()))
            })
            .await?;
        }
        Ok(())
    }

    /// Runs what the agents look after, too.
    ///
    /// # Errors
    /// A program that is not built.
    pub fn open_shop(&mut self) -> Result<()> {
        self.kubelets.push(kubelet(&self.shop, &self.folder, "shop", 5)?);
        Ok(())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn helm(&self, arguments: &[&str]) -> Result<String> {
        self.run("helm", arguments).await
    }

    async fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(tool(program)?);
        command.args(arguments).arg("--kubeconfig").arg(&self.home.kubeconfig);
        command.args(["--namespace", &self.home.namespace]).env("HOME", self.folder.path());
        let done = command.kill_on_drop(true).stdin(Stdio::null()).output().await?;
        let said = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.success(), "{program} {arguments:?}: {said}");
        Ok(String::from_utf8(done.stdout)?.trim().to_owned())
    }

    /// Writes the kubeconfig of a tool's account, as the chart made it.
    async fn account(&self, tool: &str) -> Result<()> {
        let account = format!("asya-agents-{tool}");
        let token = self.run("kubectl", &["create", "token", &account]).await?;
        let mut config: Value = serde_saphyr::from_str(&fs::read_to_string(&self.home.kubeconfig)?)?;
        for user in config["users"].as_array_mut().context("users")? {
            user["user"] = json!({"token": token});
        }
        Ok(fs::write(self.file(&format!("{tool}.kubeconfig")), config.to_string())?)
    }

    /// The gateway's Deployment, with the agents as the operator tells of them.
    fn gateway(&self, rabbitmq: &str) -> Result<Value> {
        let file = |name: &str| self.file(name).to_string_lossy().into_owned();
        let settings = [
            ("ASYA_GATEWAY_BIND", "127.0.0.1".to_owned()),
            ("ASYA_GATEWAY_PORT", self.people.address.port().to_string()),
            ("ASYA_GATEWAY_TOKENS_FILE", file("tokens.yaml")),
            ("ASYA_GATEWAY_CALLBACK_TOKEN_FILE", file("sidecars")),
            ("ASYA_GATEWAY_AGENTS_DIR", "/etc/asya/agents".to_owned()),
            ("ASYA_DATABASE_URL", file("gateway.db")),
            ("ASYA_NAMESPACE", self.home.namespace.clone()),
            ("ASYA_QUEUE_TEMPLATE", "asya-{namespace}-{actor}".to_owned()),
            ("ASYA_TRANSPORT", "rabbitmq".to_owned()),
            ("ASYA_RABBITMQ_URL", rabbitmq.to_owned()),
            ("ASYA_LOG_LEVEL", "debug".to_owned()),
        ];
        let env: Vec<_> =
            settings.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        let container = json!({"name": GATEWAY, "image": "asya-gateway:test", "command": [program("asya-gateway")?], "env": env,
            "volumeMounts": [{"name": "agents", "mountPath": "/etc/asya/agents"}]});
        let spec = json!({"containers": [container],
            "volumes": [{"name": "agents", "configMap": {"name": REGISTRY, "optional": true}}]});
        let labels = json!({"asya.sh/asya": GATEWAY});
        Ok(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": GATEWAY},
            "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}}}))
    }

    /// The operator that runs.
    ///
    /// # Panics
    /// While it is dead.
    pub fn operator(&self) -> &Operator {
        self.operator.as_ref().expect("the operator runs")
    }

    /// Ends the operator without warning.
    ///
    /// # Errors
    /// It did not run.
    pub async fn kill_operator(&mut self) -> Result<()> {
        *self.kills.entry(OPERATOR).or_default() += 1;
        self.operator.take().context("the operator runs")?.kill().await
    }

    /// Starts the operator as its pod would be started again.
    ///
    /// # Errors
    /// It does not get ready.
    pub async fn start_operator(&mut self) -> Result<()> {
        self.operator = Some(Operator::start(&self.settings).await?);
        Ok(())
    }

    /// Ends the process of an actor, or of the gateway, without warning; its kubelet starts it again.
    ///
    /// # Errors
    /// It does not come to run.
    pub async fn kill(&mut self, name: &'static str) -> Result<()> {
        let runs = format!("{name} runs");
        let found = async || Ok(Some(self.processes(name)?).filter(|processes| !processes.is_empty()));
        for process in eventually(&runs, found).await? {
            kill_process(process, Signal::KILL)?;
            *self.kills.entry(name).or_default() += 1;
        }
        Ok(())
    }

    /// Ends agent, gateway and operator without warning, and waits until all are there again.
    ///
    /// # Errors
    /// One does not come to run.
    pub async fn kill_all(&mut self) -> Result<()> {
        for name in [AGENT, GATEWAY] {
            self.kill(name).await?;
        }
        self.kill_operator().await?;
        self.start_operator().await?;
        self.people.are_heard().await
    }

    /// Stops the process of an actor where it is, as a node does that hangs.
    ///
    /// # Errors
    /// The system's.
    pub fn freeze(&self, name: &str) -> Result<()> {
        self.signal(name, Signal::STOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// The system's.
    pub fn thaw(&self, name: &str) -> Result<()> {
        self.signal(name, Signal::CONT)
    }

    fn signal(&self, name: &str, signal: Signal) -> Result<()> {
        let processes = self.processes(name)?;
        ensure!(!processes.is_empty(), "{name} does not run");
        processes.into_iter().try_for_each(|process| Ok(kill_process(process, signal)?))
    }

    /// Processes of the pods of an actor, or of the gateway.
    fn processes(&self, name: &str) -> Result<Vec<Pid>> {
        let (pod, place) = (format!("HOSTNAME={name}-"), format!("ASYA_NAMESPACE={}", self.home.namespace));
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let entry = entry?;
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // One that ends meanwhile has none.
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            let is = |wanted: &dyn Fn(&[u8]) -> bool| environment.split(|byte| *byte == 0).any(wanted);
            if is(&|it| it == place.as_bytes()) && is(&|it| it.starts_with(pod.as_bytes())) {
                found.extend(Pid::from_raw(id));
            }
        }
        Ok(found)
    }

    /// What stands of an actor, or of the gateway, however often somebody else is started again: its Deployment's generation and
    /// its pods.
    ///
    /// # Errors
    /// The API server's.
    pub async fn standing(&self, name: &str) -> Result<(Option<i64>, Vec<String>)> {
        let deployment = self.home.api("Deployment").get(name).await?;
        let wanted = ListParams::default().labels(&format!("asya.sh/asya={name}"));
        let pods = self.home.api("Pod").list(&wanted).await?;
        let pods = pods.items.into_iter().filter_map(|pod| pod.metadata.uid);
        Ok((deployment.metadata.generation, pods.collect()))
    }

    /// Versions of everything that the operator writes: a write that changes nothing moves none.
    ///
    /// # Errors
    /// The API server's.
    pub async fn versions(&self) -> Result<BTreeMap<String, Option<String>>> {
        let mut versions = BTreeMap::new();
        for kind in ["Agent", "AsyncActor", "ConfigMap", "Deployment", "ScaledObject"] {
            for object in self.home.api(kind).list(&ListParams::default()).await? {
                let name = object.metadata.name.unwrap_or_default();
                versions.insert(format!("{kind} {name}"), object.metadata.resource_version);
            }
        }
        Ok(versions)
    }

    /// How often the containers of an actor, or of the gateway, were started again.
    ///
    /// # Errors
    /// The API server's.
    pub async fn restarts(&self, name: &str) -> Result<u64> {
        let wanted = ListParams::default().labels(&format!("asya.sh/asya={name}"));
        let pods = self.home.api("Pod").list(&wanted).await?;
        let restarts =
            |pod: &DynamicObject| pod.data["status"]["containerStatuses"][0]["restartCount"].as_u64();
        Ok(pods.items.iter().filter_map(restarts).sum())
    }

    /// What gateways are told of agents, and its version.
    ///
    /// # Errors
    /// The API server's, and what is missing.
    pub async fn told(&self) -> Result<(Value, Option<String>)> {
        let map = self.home.api("ConfigMap").get(REGISTRY).await?;
        let entry = map.data["data"][format!("{AGENT}.json")].as_str().context("an entry of the agent")?;
        Ok((serde_json::from_str(entry)?, map.metadata.resource_version))
    }

    /// What everybody wrote at last.
    pub fn words(&self) -> String {
        let operator = self.operator.as_ref().map(Operator::log).unwrap_or_default();
        let kubelet = fs::read_to_string(self.file("pods.log")).unwrap_or_default();
        let end = |text: &str| text[text.floor_char_boundary(text.len().saturating_sub(4000))..].to_owned();
        format!("{}--- operator\n{}\n--- kubelet\n{}", self.people.logs(), end(&operator), end(&kubelet))
    }

    /// Takes everything away that its namespace does not take along.
    ///
    /// # Errors
    /// What stays.
    pub async fn end(self) -> Result<()> {
        self.helm(&["uninstall", "asya-agents", "--cascade", "orphan"]).await?;
        for cluster in [&self.home, &self.shop] {
            let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
            cluster
                .api("Deployment")
                .delete_collection(&DeleteParams::background(), &ListParams::default())
                .await?;
            cluster.api("Pod").delete_collection(&now, &ListParams::default()).await?;
        }
        for actor in ACTORS {
            broker::remove(&format!("asya-{}-{actor}", self.home.namespace)).await?;
        }
        Ok(())
    }
}

/// What is told to the chart asya-agents: all tools for one namespace, and an agent that has them.
fn values(shop: &str, model: &str) -> Value {
    let here = json!({"namespaces": [shop]});
    let write = json!({"enabled": true, "namespaces": [shop]});
    let resources = json!([{"name": "deployments", "apiGroup": "apps"}]);
    let agent = json!({"description": "Operates the shop",
        "model": {"provider": "openai", "name": "scripted", "baseUrl": model, "alternatives": ["larger"]},
        "budgets": {"turns": 30, "tokens": 100_000}, "scaling": {"minReplicas": 1, "maxReplicas": 1}});
    json!({"people": {"user": "{sub}"}, "scaling": {"enabled": false}, "k8s-read": here, "analyze": here, "k8s-write": write,
        "rbac": {"role": {"resources": resources, "verbs": ["get", "create", "patch"]}},
        "env": {"OPENAI_API_KEY": "sk-of-a-test"}, "agent": {"enabled": true, "name": AGENT, "spec": agent}})
}

fn chart(name: &str) -> String {
    root().join("charts").join(name).to_string_lossy().into_owned()
}

fn tool(name: &str) -> Result<PathBuf> {
    let tools = crate::server("ASYA_TEST_KUBERNETES_TOOLS").context("the tools are set with the cluster")?;
    Ok(PathBuf::from(tools).join(name))
}

/// Runs the pods of a namespace, with the programs of this build on their path; the first pause before one that fails is started
/// again is so many seconds.
fn kubelet(cluster: &Cluster, folder: &TempDir, name: &str, back_off: u64) -> Result<Child> {
    let program = program("minikubelet")?;
    let programs = program.parent().context("a program is in a folder")?;
    let path = std::env::var("PATH").unwrap_or_default();
    let log = fs::File::create(folder.path().join(format!("{name}.log")))?;
    let mut command = Command::new(&program);
    command.arg("--kubeconfig").arg(&cluster.kubeconfig).arg("--dir").arg(folder.path().join(name));
    command.args(["--node", &cluster.namespace, "--namespace", &cluster.namespace, "--refresh", "1"]);
    command.args(["--back-off", &back_off.to_string()]).env("PATH", format!("{}:{path}", programs.display()));
    command.stdout(Stdio::null()).stderr(log).kill_on_drop(true).spawn().context("starting minikubelet")
}
