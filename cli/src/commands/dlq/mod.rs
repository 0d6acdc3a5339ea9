//! `asya dlq`.

mod gateway;
mod queues;

use clap::{Args, Subcommand, ValueEnum};

use crate::{
    args::Common,
    exit::misconfigured,
    gateway::{Client, GatewayArgs},
};

/// Dead letters that are listed unless told otherwise: as many as a person looks at.
const LISTED: usize = 100;

/// Look after dead letters: messages that nobody could handle
///
/// Those of the queues, or those of a gateway: with --gateway, ASYA_GATEWAY or a profile. A gateway has what error-end stored,
/// and looks at the brokers' own dead-letter queues.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples, queues:\n  asya dlq list\n  asya dlq show ocr 17\n  asya dlq replay ocr --all\n  asya dlq drop ocr 17 18\n\n\
    Examples, a gateway:\n  asya dlq groups --gateway http://127.0.0.1:8089\n  asya dlq list ocr --code timeout --since 1h --profile prod\n  \
    asya dlq show ID\n  asya dlq replay ID --payload @mended.json --route split,ocr\n  asya dlq replay ocr --all --code timeout\n  \
    asya dlq replay ocr --all --source broker\n  asya dlq drop ID ID"
)]
pub(crate) enum Dlq {
    /// List dead letters; oldest first, of a gateway newest first
    List {
        /// The actor [default: every one in the queue file, or of the gateway]
        actor: Option<String>,
        /// At most so many, of queues per actor
        #[arg(long, default_value_t = LISTED)]
        limit: usize,
        /// Of a gateway: those too that have been replayed
        #[arg(long)]
        replayed: bool,
        /// Of a gateway: where they are [default: all]
        #[arg(long, value_name = "PLACE")]
        source: Option<Source>,
        #[command(flatten)]
        fitting: Fitting,
        #[command(flatten)]
        gateway: GatewayArgs,
    },
    /// Count those of a gateway by actor and code
    Groups {
        #[command(flatten)]
        gateway: GatewayArgs,
    },
    /// Show one dead letter, body included
    Show {
        /// The actor and its number in the list; of a gateway its id
        #[arg(required = true, num_args = 1..=2, value_name = "ACTOR NUMBER | ID")]
        letter: Vec<String>,
        #[command(flatten)]
        gateway: GatewayArgs,
    },
    /// Put dead letters back on their queue, with fresh counters; of a gateway as new envelopes
    Replay {
        #[command(flatten)]
        selected: Selected,
        /// Of a gateway: with this payload instead: JSON, or @FILE with JSON in it
        #[arg(long, value_name = "JSON")]
        payload: Option<String>,
        /// Of a gateway: along these actors instead, separated by commas
        #[arg(long, value_name = "ROUTE")]
        route: Option<String>,
        #[command(flatten)]
        gateway: GatewayArgs,
    },
    /// Delete dead letters for good
    #[command(visible_alias = "delete")]
    Drop {
        #[command(flatten)]
        selected: Selected,
        #[command(flatten)]
        gateway: GatewayArgs,
    },
}

/// Which dead letters are meant.
#[derive(Debug, Args)]
pub(crate) struct Selected {
    /// The actor and numbers in its list; of a gateway ids, or with --all the actor
    #[arg(required_unless_present = "all", value_name = "ACTOR NUMBER… | ID…")]
    names: Vec<String>,
    /// All of the actor; of a gateway all that fit
    #[arg(long)]
    all: bool,
    /// Of a gateway, with --all: where they are [default: store]
    #[arg(long, value_name = "PLACE", requires = "all")]
    source: Option<Source>,
    #[command(flatten)]
    fitting: Fitting,
}

/// Where a gateway looks for dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Source {
    /// In its store, where error-end puts them
    Store,
    /// On the broker's own dead-letter queues
    Broker,
    /// In both
    All,
}

impl Source {
    /// As the gateway calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Broker => "broker",
            Self::All => "all",
        }
    }
}

/// What dead letters of a gateway have to fulfil.
#[derive(Debug, Default, Args)]
pub(crate) struct Fitting {
    /// Those with this code
    #[arg(long, help_heading = "Of a gateway, which letters fit")]
    code: Option<String>,
    /// Those whose error has this text in it
    #[arg(long, value_name = "TEXT", help_heading = "Of a gateway, which letters fit")]
    text: Option<String>,
    /// Those of this envelope
    #[arg(long, value_name = "ID", help_heading = "Of a gateway, which letters fit")]
    envelope: Option<String>,
    /// Those stored at this time (RFC 3339) or later, or this long ago: 1h
    #[arg(long, value_name = "TIME", help_heading = "Of a gateway, which letters fit")]
    since: Option<String>,
    /// Those stored before this time
    #[arg(long, value_name = "TIME", help_heading = "Of a gateway, which letters fit")]
    until: Option<String>,
}

impl Fitting {
    /// # Errors
    /// Something is asked of queues that only a gateway knows.
    fn nothing(&self) -> anyhow::Result<()> {
        let Self { code, text, envelope, since, until } = self;
        if [code, text, envelope, since, until].into_iter().any(Option::is_some) {
            return Err(gateway_only("--code, --text, --envelope, --since and --until choose"));
        }
        Ok(())
    }
}

fn gateway_only(what: &str) -> anyhow::Error {
    misconfigured(format!(
        "{what} among the dead letters of a gateway: name it with --gateway, ASYA_GATEWAY or --profile"
    ))
}

impl Dlq {
    pub(crate) async fn run(self, common: Common) -> anyhow::Result<u8> {
        let args = match &self {
            Self::List { gateway, .. }
            | Self::Groups { gateway }
            | Self::Show { gateway, .. }
            | Self::Replay { gateway, .. }
            | Self::Drop { gateway, .. } => gateway,
        };
        if let Self::Groups { .. } = self {
            return gateway::groups(&common, &args.client(&common)?).await;
        }
        let place = args.instead_of_queues(&common)?;
        match place {
            Some(place) => gateway::run(self, &common, &Client::new(&place)?).await,
            None => queues::run(self, &common.with_profile()?).await,
        }
    }
}
