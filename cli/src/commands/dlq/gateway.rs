//! Dead letters of a gateway: what failed.

use std::collections::BTreeMap;

use asya_resources::Delay;
use serde::Deserialize;
use serde_json::{
    Map, Value, json,
    value::{RawValue, to_raw_value},
};

use super::{Dlq, Fitting, Selected, Source};
use crate::{
    args::Common,
    commands::send::input,
    exit::{self, misconfigured},
    gateway::{
        Client, GatewayError,
        client::{query, segment, verbatim},
    },
    output::{Output, json_line, note, print, safe, short, table},
};

/// Longest page that gateways give.
const PAGE: usize = 1000;
/// Longest error in a list.
const SHOWN: usize = 80;

#[derive(Deserialize)]
struct Page {
    letters: Vec<Box<RawValue>>,
    next: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
struct Letter {
    id: String,
    source: String,
    envelope: Option<String>,
    actor: String,
    code: String,
    error: String,
    attempts: u32,
    since: Option<String>,
    replayed_as: Option<String>,
    body: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Groups {
    groups: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Group {
    actor: String,
    code: String,
    count: u64,
    first: String,
    last: String,
    sample: String,
}

#[derive(Deserialize)]
struct Replayed {
    replayed: u64,
    ids: Vec<String>,
    refused: Vec<Refused>,
    more: bool,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
struct Refused {
    id: String,
    reason: String,
}

#[derive(Deserialize)]
struct Deleted {
    deleted: u64,
    #[serde(default)]
    warnings: Vec<String>,
}

pub(super) async fn run(what: Dlq, common: &Common, client: &Client) -> anyhow::Result<u8> {
    match what {
        Dlq::List { actor, limit, replayed, source, fitting, gateway: _ } => {
            let mut fitting = fitting.members(actor)?;
            fitting.insert("source".to_owned(), source.unwrap_or(Source::All).name().into());
            list(common, client, &fitting, limit, replayed).await
        }
        Dlq::Groups { .. } => groups(common, client).await,
        Dlq::Show { letter, gateway: _ } => {
            let [id] = &letter[..] else {
                return Err(misconfigured(
                    "a dead letter of a gateway is named by its id: `asya dlq show ID`",
                ));
            };
            show(common, client, id).await
        }
        Dlq::Replay { selected, payload, route, gateway: _ } => {
            let mut body = BTreeMap::new();
            for (name, value) in selected.of_gateway()? {
                body.insert(name, to_raw_value(&value)?);
            }
            if let Some(payload) = payload {
                // As it was written: numbers keep their digits.
                let payload = input::payload(&payload)?.as_str().to_owned();
                body.insert("payload".to_owned(), RawValue::from_string(payload)?);
            }
            if let Some(route) = route {
                body.insert("route".to_owned(), to_raw_value(&input::route(&route)?)?);
            }
            replay(common, client, &selected, &body).await
        }
        Dlq::Drop { selected, gateway: _ } => {
            let body = selected.of_gateway()?;
            let done: Deleted =
                client.post("/api/v1/dead-letters/delete", &body).await.map_err(GatewayError::told)?;
            let Deleted { deleted, warnings } = done;
            warn(common, &warnings);
            common.output.line(&json!({"dropped": deleted}), || format!("dropped {deleted}"));
            let missing = !selected.all && deleted < selected.names.len() as u64;
            Ok(if missing || !warnings.is_empty() { exit::FAILED } else { exit::OK })
        }
    }
}

impl Fitting {
    /// As a gateway has them.
    fn members(&self, actor: Option<String>) -> anyhow::Result<Map<String, Value>> {
        let Self { code, text, envelope, since, until } = self;
        let (since, until) = (time("--since", since.as_deref())?, time("--until", until.as_deref())?);
        let all = [
            ("actor", actor),
            ("code", code.clone()),
            ("q", text.clone()),
            ("envelope", envelope.clone()),
            ("since", since),
            ("until", until),
        ];
        Ok(all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))).collect())
    }
}

impl Selected {
    /// The members that say which letters are meant.
    fn of_gateway(&self) -> anyhow::Result<Map<String, Value>> {
        if !self.all {
            if self.fitting.nothing().is_err() {
                return Err(misconfigured(
                    "--all goes with what letters have to fulfil; ids need nothing else",
                ));
            }
            return Ok(Map::from_iter([("ids".to_owned(), json!(self.names))]));
        }
        let actor = match &self.names[..] {
            [] => None,
            [actor] => Some(actor.clone()),
            _ => return Err(misconfigured("either ids or --all says which dead letters are meant")),
        };
        let mut fitting = self.fitting.members(actor)?;
        if let Some(source) = self.source {
            fitting.insert("source".to_owned(), source.name().into());
        }
        Ok(Map::from_iter([("filter".to_owned(), fitting.into())]))
    }
}

/// A time, or how long ago.
fn time(flag: &str, text: Option<&str>) -> anyhow::Result<Option<String>> {
    let Some(text) = text else { return Ok(None) };
    if let Ok(delay) = Delay::parse(text)
        && let Ok(at) = jiff::Timestamp::now().checked_sub(delay.0)
    {
        return Ok(Some(at.to_string()));
    }
    let at: jiff::Timestamp = text.parse().map_err(|_error| {
        misconfigured(format!(
            "{flag} {text:?} is neither how long ago, such as 1h, nor a time, such as 2030-01-01T12:00:00Z"
        ))
    })?;
    Ok(Some(at.to_string()))
}

async fn list(
    common: &Common,
    client: &Client,
    fitting: &Map<String, Value>,
    limit: usize,
    replayed: bool,
) -> anyhow::Result<u8> {
    let (mut rows, mut left, mut after) = (Vec::new(), limit, None::<String>);
    let (mut unseen, mut more) = (false, false);
    while left > 0 {
        let page = left.min(PAGE).to_string();
        let mut pairs: Vec<_> = fitting.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        pairs.extend([("limit", Some(page.as_str())), ("after", after.as_deref())]);
        pairs.push(("replayed", replayed.then_some("true")));
        let path = format!("/api/v1/dead-letters{}", query(&pairs));
        let page: Page = client.get(&path).await.map_err(GatewayError::told)?;
        warn(common, &page.warnings);
        unseen |= !page.warnings.is_empty();
        // Those of the brokers' queues come beside a page of the store.
        let shown = page.letters.len().min(left);
        let cut = shown < page.letters.len();
        left -= shown;
        for raw in &page.letters[..shown] {
            if common.output == Output::Json {
                print(&verbatim(raw));
                continue;
            }
            let letter: Letter = serde_json::from_str(raw.get())?;
            let reason = format!("{}: {}", letter.code, letter.error);
            let (envelope, since) = (letter.envelope.unwrap_or_default(), letter.since.unwrap_or_default());
            let cells =
                [letter.source, letter.actor, letter.id, envelope, letter.attempts.to_string(), since];
            let cells = cells.iter().map(|cell| safe(cell).into_owned());
            rows.push(cells.chain([safe(&short(&reason, SHOWN)).into_owned()]).collect());
        }
        after = page.next;
        more = cut || after.is_some();
        if after.is_none() || page.letters.is_empty() {
            break;
        }
    }
    if common.output == Output::Human {
        if !rows.is_empty() {
            print(&table(&["SOURCE", "ACTOR", "ID", "ENVELOPE", "ATTEMPTS", "SINCE", "REASON"], &rows));
        } else if unseen {
            eprintln!("no dead letters where they could be looked for");
        } else {
            eprintln!("no dead letters");
        }
        if more {
            eprintln!("there are more: --limit");
        }
    }
    Ok(exit::OK)
}

/// By actor and code.
pub(super) async fn groups(common: &Common, client: &Client) -> anyhow::Result<u8> {
    let Groups { groups } = client.get("/api/v1/dead-letters/groups").await.map_err(GatewayError::told)?;
    let mut rows = Vec::new();
    for raw in groups {
        if common.output == Output::Json {
            print(&verbatim(&raw));
            continue;
        }
        let Group { actor, code, count, first, last, sample } = serde_json::from_str(raw.get())?;
        let cells = [actor, code, count.to_string(), first, last, short(&sample, SHOWN)];
        rows.push(cells.iter().map(|cell| safe(cell).into_owned()).collect());
    }
    if common.output == Output::Human {
        if rows.is_empty() {
            eprintln!("no dead letters");
        } else {
            print(&table(&["ACTOR", "CODE", "COUNT", "FIRST", "LAST", "ONE OF THEM"], &rows));
        }
    }
    Ok(exit::OK)
}

async fn show(common: &Common, client: &Client, id: &str) -> anyhow::Result<u8> {
    let path = format!("/api/v1/dead-letters/{}", segment(id));
    let raw: Box<RawValue> = match client.get(&path).await {
        Err(error) if error.status() == Some(http::StatusCode::NOT_FOUND) => {
            anyhow::bail!("no dead letter {}; `asya dlq list` shows those of the gateway", safe(id))
        }
        raw => raw.map_err(GatewayError::told)?,
    };
    if common.output == Output::Json {
        print(&verbatim(&raw));
        return Ok(exit::OK);
    }
    let letter: Letter = serde_json::from_str(raw.get())?;
    let unknown = || "not known".to_owned();
    let (envelope, since) = (letter.envelope.unwrap_or_else(unknown), letter.since.unwrap_or_else(unknown));
    let replayed = letter.replayed_as.map_or_else(String::new, |id| format!("\nreplayed: {id}"));
    let body = letter
        .body
        .map_or_else(|| "who asks may not see what was in it".to_owned(), |body| json_line(body.get()));
    let text = format!(
        "dead letter {} of {}\nsource:   {}\nenvelope: {envelope}\ncode:     {}\nreason:   {}\nattempts: {}\nsince:    {since}{replayed}\n\n{body}",
        letter.id, letter.actor, letter.source, letter.code, letter.error, letter.attempts
    );
    print(&safe(&text));
    Ok(exit::OK)
}

/// Replays until nothing more fits: one request takes a bounded number.
async fn replay(
    common: &Common,
    client: &Client,
    selected: &Selected,
    body: &BTreeMap<String, Box<RawValue>>,
) -> anyhow::Result<u8> {
    let (mut replayed, mut ids, mut refused, mut unsure) = (0, Vec::new(), BTreeMap::new(), false);
    loop {
        let done = client.post("/api/v1/dead-letters/replay", body).await;
        let done: Replayed = done.map_err(|error| {
            let before =
                if replayed == 0 { String::new() } else { format!("{replayed} were replayed before it: ") };
            error.told().context(format!("{before}replaying"))
        })?;
        replayed += done.replayed;
        ids.extend(done.ids);
        refused.extend(done.refused.into_iter().map(|refused| (refused.id, refused.reason)));
        warn(common, &done.warnings);
        unsure |= !done.warnings.is_empty();
        // What is refused stays, and would be refused again.
        if !done.more || done.replayed == 0 || !selected.all {
            break;
        }
    }
    let line = json!({"replayed": replayed, "ids": ids, "refused": refused});
    common.output.line(&line, || {
        let mut lines = vec![format!("replayed {replayed}")];
        lines.extend(ids.iter().map(|id| format!("  as {id}")));
        lines.extend(refused.iter().map(|(id, reason)| format!("  not {id}: {reason}")));
        safe(&lines.join("\n")).into_owned()
    });
    let missing = !selected.all && replayed < selected.names.len() as u64;
    Ok(if missing || unsure || !refused.is_empty() { exit::FAILED } else { exit::OK })
}

/// Says what a gateway could not do on the brokers' queues.
fn warn(common: &Common, warnings: &[String]) {
    for warning in warnings {
        note(common.output, &safe(warning));
    }
}
