//! A model that finds out why `web` does not run. It knows nothing but what its tools tell it: each call is made of what the one
//! before returned, and where that is not there it gives up.

use anyhow::{Context, Result, ensure};
use asya_tests::{
    cluster::eventually,
    installed::Installed,
    script::{Heard, Words},
};
use kube::api::ListParams;
use serde_json::json;

/// The kinds of entries that come of it.
pub(crate) const OUTLINE: [&str; 14] = [
    "user",
    "calls analyze",
    "tool analyze",
    "calls k8s_read",
    "tool k8s_read",
    "calls k8s_read",
    "tool k8s_read",
    "calls k8s_read",
    "tool k8s_read",
    "calls k8s_write",
    "tool k8s_write",
    "calls k8s_read",
    "tool k8s_read",
    "assistant",
];

/// Waits until the pod of `web` crashes again and again, and says so as its kubelet would: with an Event.
pub(crate) async fn breaks(it: &Installed) -> Result<()> {
    let crashes = eventually("web crashes", async || {
        let pods = it.shop.api("Pod").list(&ListParams::default().labels("app=web")).await?;
        Ok(pods.items.into_iter().find(|pod| {
            let status = &pod.data["status"]["containerStatuses"][0];
            status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
                && status["restartCount"].as_u64() >= Some(1)
        }))
    });
    let pod = crashes.await?;
    let (name, uid) = (pod.metadata.name.context("a name")?, pod.metadata.uid.context("a uid")?);
    let now = jiff::Timestamp::now();
    it.shop
        .apply(&json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": format!("{name}.1")},
            "type": "Warning", "reason": "BackOff", "action": "Restarting", "eventTime": format!("{now:.6}"),
            "note": format!("Back-off restarting failed container web in pod {name}"),
            "reportingController": "kubelet", "reportingInstance": "node-1",
            "regarding": {"apiVersion": "v1", "kind": "Pod", "namespace": it.shop.namespace, "name": name, "uid": uid}}))
        .await
        .map(drop)
}

/// The model's next words.
pub(crate) fn says(heard: &Heard) -> Words {
    let shop = heard.asked().rsplit(' ').next().unwrap_or_default();
    next(shop, &heard.results()).unwrap_or_else(|why| Words::text(&format!("I cannot tell: {why:#}")))
}

fn next(shop: &str, results: &[&str]) -> Result<Words> {
    let read = |verb: &str, kind: &str, name: &str| {
        Words::call("k8s_read", json!({"verb": verb, "kind": kind, "name": name, "namespace": shop}))
    };
    let [analysis, ..] = results else { return Ok(Words::call("analyze", json!({"namespace": shop}))) };
    let pod = word(analysis, &format!("Pod {shop}/"))?;
    ensure!(
        pod.starts_with("web-") && analysis.contains("CrashLoopBackOff"),
        "it does not crash: {analysis}"
    );
    let [_, described, ..] = results else { return Ok(read("describe", "Pod", pod)) };
    let container = word(described, "Back-off restarting failed container ")?;
    ensure!(described.contains("exitCode: 78"), "it did not end by itself: {described}");
    let [_, _, log, ..] = results else { return Ok(read("logs", "Pod", pod)) };
    let wrong = word(log, "fatal: PORT is no number: ")?;
    let [_, _, _, service, ..] = results else { return Ok(read("get", "Service", container)) };
    let right = word(service, "\"targetPort\":")?;
    let [_, _, _, _, change, ..] = results else {
        let manifest = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": container, "namespace": shop},
            "spec": {"template": {"spec": {"containers": [{"name": container, "env": [{"name": "PORT", "value": right}]}]}}}});
        return Ok(Words::call("k8s_write", json!({"verb": "apply", "manifest": manifest.to_string()})));
    };
    ensure!(!change.contains("error"), "it was not done: {change}");
    let [_, _, _, _, _, now, ..] = results else { return Ok(read("get", "Deployment", container)) };
    ensure!(word(now, "\"readyReplicas\":")? == "1" && !now.contains(wrong), "it is not well yet: {now}");
    Ok(Words::text(&format!(
        "Pod {pod} could not start because PORT was {wrong}, which is no number. It is {right} now, where the Service sends to, \
         and {container} is well."
    )))
}

/// What the export tells.
pub(crate) fn is_told(markdown: &str) -> Result<()> {
    for said in [
        "web does not answer",
        "Calls analyze",
        "CrashLoopBackOff",
        "PORT is no number: 80a80",
        "PORT was 80a80",
        "It is 8080 now",
    ] {
        ensure!(markdown.contains(said), "{said:?} is not in {markdown}");
    }
    Ok(())
}

/// The word after these.
fn word<'a>(text: &'a str, before: &str) -> Result<&'a str> {
    let (_, rest) = text.split_once(before).with_context(|| format!("no {before:?} in {text}"))?;
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(rest.len());
    ensure!(end > 0, "no word after {before:?} in {text}");
    Ok(&rest[..end])
}
