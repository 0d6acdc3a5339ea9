//! Telling the runtime that its work is done.

use tokio::sync::watch;

/// The wish that the runtime ends, on its way from the handler to the control connection.
#[derive(Clone, Debug)]
pub(super) struct Ends {
    wish: watch::Sender<Wish>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    None,
    End,
    Told,
}

impl Default for Ends {
    fn default() -> Self {
        Self { wish: watch::Sender::new(Wish::None) }
    }
}

impl Ends {
    /// Wishes that the runtime ends, and returns when it was told. Without a runtime that understands it, never: whoever
    /// waits sets a limit.
    pub(super) async fn tell(&self) {
        self.wish.send_if_modified(|wish| std::mem::replace(wish, Wish::End) != Wish::End);
        drop(self.wish.subscribe().wait_for(|wish| *wish == Wish::Told).await);
    }

    /// Done as soon as a runtime is to be told. Cancel safe.
    pub(super) async fn wished(&self) {
        drop(self.wish.subscribe().wait_for(|wish| *wish == Wish::End).await);
    }

    /// It was told.
    pub(super) fn told(&self) {
        self.wish.send_replace(Wish::Told);
    }
}
