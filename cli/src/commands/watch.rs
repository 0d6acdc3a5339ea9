//! `asya watch`, and what `asya call` shows while it waits.

use std::io::IsTerminal as _;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    args::Common,
    exit,
    gateway::{
        Client, Follow, GatewayArgs, Told,
        client::segment,
        wire::{Envelope, Status, Update},
    },
    output::{Output, json_line, note, print, safe},
};

/// Follow an envelope to its end
///
/// What has happened, what happens, and the result. A connection that breaks is begun again where it was.
#[derive(Debug, Args)]
#[command(
    after_help = "Ends with 0 when the envelope succeeded, with 1 when it failed or was cancelled.\n\n\
    Examples:\n  asya watch 0199c0de-0000-7000-8000-000000000000\n  asya watch ID --output json | jq .percent"
)]
pub(crate) struct Watch {
    /// The envelope's id
    id: String,
    #[command(flatten)]
    gateway: GatewayArgs,
}

impl Watch {
    pub(crate) async fn run(self, common: Common) -> anyhow::Result<u8> {
        let Self { id, gateway } = self;
        let client = gateway.client(&common)?;
        let view = match common.output {
            Output::Human => View::Lines,
            Output::Json => View::Json,
        };
        let again = again(&gateway, &common);
        tokio::select! {
            result = to_end(&client, Follow::new(client.clone(), &id), &id, view, common.output) => result,
            _ = tokio::signal::ctrl_c() => {
                note(common.output, &format!("{id} goes on; `asya cancel {id}{again}` ends it"));
                Ok(exit::INTERRUPTED)
            }
        }
    }
}

/// What has to be typed again so that another command means the same gateway.
pub(crate) fn again(gateway: &GatewayArgs, common: &Common) -> String {
    let GatewayArgs { gateway, token_file, context } = gateway;
    let file = token_file.as_ref().map(|file| file.display().to_string());
    let profile = context.as_ref().or(common.profile.as_ref());
    let options = [("gateway", gateway.as_ref()), ("token-file", file.as_ref()), ("profile", profile)];
    let typed = options.iter().filter_map(|(name, value)| Some(format!(" --{name} {}", (*value)?)));
    typed.collect()
}

/// Where updates are shown.
pub(crate) enum View {
    /// As lines on standard output.
    Lines,
    /// As JSON on standard output, as they came.
    Json,
    /// Beside the result: a bar, or lines on standard error.
    Beside(Option<ProgressBar>),
    /// Nowhere.
    Hidden,
}

impl View {
    /// That of a call: a bar on terminals, lines otherwise; nothing for programs.
    pub(crate) fn of_call(output: Output, id: &str) -> Self {
        if output == Output::Json {
            return Self::Hidden;
        }
        if !std::io::stderr().is_terminal() {
            return Self::Beside(None);
        }
        let bar = ProgressBar::with_draw_target(Some(100), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{bar:30} {pos:>3}% {elapsed} {msg}");
        let bar = bar.with_style(style.expect("the template is valid"));
        bar.set_message(safe(id).into_owned());
        bar.enable_steady_tick(std::time::Duration::from_millis(200));
        Self::Beside(Some(bar))
    }

    pub(crate) fn show(&self, update: &Update, text: &str) {
        match self {
            Self::Lines => print(&line(update)),
            Self::Json => print(&json_line(text)),
            Self::Beside(Some(bar)) => {
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "0 to 100, and no worse than 0 otherwise"
                )]
                if let Some(percent) = update.percent {
                    bar.set_position(percent.clamp(0.0, 100.0) as u64);
                }
                let words = [update.actor.as_deref(), update.message.as_deref()];
                let words: Vec<_> = words.into_iter().flatten().collect();
                bar.set_message(safe(&words.join(": ").replace(['\n', '\t'], " ")).into_owned());
            }
            Self::Beside(None) => eprintln!("{}", line(update)),
            Self::Hidden => {}
        }
    }

    pub(crate) fn end(&self) {
        if let Self::Beside(Some(bar)) = self {
            bar.finish_and_clear();
        }
    }
}

/// One update for people: time, progress, where, what.
fn line(update: &Update) -> String {
    let time = update.at.get(11..19).unwrap_or_default();
    let percent = update.percent.map_or_else(|| "   ".to_owned(), |percent| format!("{percent:>3.0}"));
    let state = update.step.as_deref().unwrap_or_else(|| update.status.word());
    let mut words = vec![format!("{time} {percent}% {state}")];
    words.extend(update.actor.as_ref().map(|actor| format!("at {actor}")));
    words.extend(update.message.as_ref().filter(|text| !text.is_empty()).map(|text| format!("- {text}")));
    safe(&words.join(" ").replace(['\n', '\t'], " ")).into_owned()
}

/// How an envelope ended, for programs.
#[derive(Serialize)]
struct End<'a> {
    id: &'a str,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a RawValue>,
}

/// Shows updates until the end, and then the end; the exit code says which it was.
///
/// # Errors
/// The gateway refuses, or goes away for too long.
pub(crate) async fn to_end(
    client: &Client,
    mut follow: Follow,
    id: &str,
    view: View,
    output: Output,
) -> anyhow::Result<u8> {
    let mut last = Update::default();
    loop {
        match follow.next().await {
            Ok(Some(Told::Update { update, text })) => {
                view.show(&update, &text);
                last = *update;
            }
            Ok(Some(Told::Lost(why))) => {
                note(output, &format!("the connection is lost ({}); it is begun again", safe(&why)));
            }
            Ok(None) => break,
            Err(error) => {
                view.end();
                return Err(error.told().context(format!("following {}", safe(id))));
            }
        }
    }
    view.end();
    // The last line of a watch has said everything, for programs.
    let quiet = matches!(view, View::Json);
    if last.status == Status::Succeeded {
        let end = End {
            id,
            status: last.status,
            result: last.result.as_deref(),
            code: None,
            error: None,
            actor: None,
            details: None,
        };
        match (output, end.result) {
            (Output::Json, _) if quiet => {}
            (Output::Json, _) => print(&json_line(&serde_json::to_string(&end)?)),
            (Output::Human, Some(result)) => print(&json_line(result.get())),
            (Output::Human, None) => {
                eprintln!("{} succeeded; who asks may not see its result, or it has none", safe(id));
            }
        }
        return Ok(exit::OK);
    }
    // What the stream does not say: the code and the handler's error. Without the right to look, or the gateway, its own
    // words have to do.
    let whole: Option<Envelope> = client.get(&format!("/api/v1/envelopes/{}", segment(id))).await.ok();
    let details = whole.as_ref().and_then(Envelope::details);
    let (code, actor) = whole.map_or((None, None), |whole| (whole.code, whole.actor));
    let (actor, error) = (actor.or(last.actor), last.error);
    match output {
        Output::Json if quiet => {}
        Output::Json => {
            let details = details.as_ref().map(|(_, raw)| &**raw);
            let end = End { id, status: last.status, result: None, code, error, actor, details };
            print(&json_line(&serde_json::to_string(&end)?));
        }
        Output::Human => {
            let at = actor.map_or_else(String::new, |actor| format!(" at {actor}"));
            let sentence =
                details.map(|(details, _)| details.sentence()).filter(|sentence| !sentence.is_empty());
            let mut words = vec![format!("{id} failed{at}")];
            words.extend(code.clone());
            // The same word twice says nothing more.
            words.extend(sentence.or(error).filter(|error| code.as_ref() != Some(error)));
            eprintln!(
                "{}",
                safe(&format!("{}; `asya status {id}` shows where it has been", words.join(": ")))
            );
        }
    }
    Ok(exit::FAILED)
}
