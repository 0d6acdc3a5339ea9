//! What is seen of the fleet: a live table below the log on a terminal, plain lines, or JSON lines.

use std::{
    io::{self, IsTerminal as _, Stdout},
    time::Duration,
};

use ratatui::{
    Terminal, TerminalOptions, Viewport,
    backend::CrosstermBackend,
    layout::{Constraint, Layout},
    style::Style,
    text::{Line as Text, Span},
    widgets::{Paragraph, Widget as _},
};
use serde_json::json;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    fleet::Row,
    logs::{Kind, Line, Logs},
    table::{COLOURS, SHOWN, number, table},
};
use crate::output::{self, Output, print};

/// How often the table is drawn.
const FRAME: Duration = Duration::from_millis(200);
/// How often a summary is printed where there is no table, if something has changed.
const SUMMARY: Duration = Duration::from_secs(5);
/// Rows of one line; longer ones are cut, so that one handler does not push everything else away.
const LONGEST_WRAPPED: usize = 50;
/// The same for plain lines, as codes of terminals.
const CODES: [u8; COLOURS.len()] = [36, 35, 32, 33, 34, 96];

/// Shows lines and rows until both end.
pub(crate) struct View {
    lines: mpsc::Receiver<Line>,
    rows: watch::Receiver<Vec<Row>>,
    logs: Logs,
    screen: Screen,
    printed: Option<(Instant, Vec<Row>)>,
}

enum Screen {
    Live(Box<Terminal<CrosstermBackend<Stdout>>>),
    Plain { colours: bool },
    Json,
}

impl View {
    pub(crate) fn new(
        lines: mpsc::Receiver<Line>,
        rows: watch::Receiver<Vec<Row>>,
        logs: Logs,
        output: Output,
        plain: bool,
    ) -> Self {
        let screen = match output {
            Output::Json => Screen::Json,
            Output::Human if !plain && io::stdout().is_terminal() => {
                live(rows.borrow().len()).unwrap_or(Screen::Plain { colours: output::colours() })
            }
            Output::Human => Screen::Plain { colours: output::colours() },
        };
        Self { lines, rows, logs, screen, printed: None }
    }

    /// Runs until the senders of lines and rows are gone.
    pub(crate) async fn run(mut self) {
        let mut frames = interval(FRAME);
        frames.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                line = self.lines.recv() => match line {
                    Some(line) => self.line(&line),
                    None => break,
                },
                _ = frames.tick() => {
                    let lost = self.logs.take_lost();
                    if lost > 0 {
                        let text = format!("{lost} lines were left out");
                        self.line(&Line { actor: None, kind: Kind::Error, text });
                    }
                    self.frame(false);
                    // The other side drops the rows when everything is drained; then what waits is printed.
                    if self.rows.has_changed().is_err() {
                        self.lines.close();
                    }
                }
            }
        }
        self.frame(true);
        if let Screen::Live(terminal) = &mut self.screen {
            // The last table stays above the prompt.
            let _ = terminal.show_cursor();
            println!();
        }
    }

    fn line(&mut self, line: &Line) {
        match &mut self.screen {
            Screen::Json => {
                let kind = match line.kind {
                    Kind::Output => "output",
                    Kind::Note => "note",
                    Kind::Error => "error",
                };
                print(&json!({"type": kind, "actor": line.actor.as_deref(), "text": line.text}).to_string());
            }
            Screen::Plain { colours } => print(&plain(line, *colours)),
            Screen::Live(terminal) => {
                let width = terminal.size().map_or(80, |size| size.width);
                let lines = wrapped(line, width.into());
                let height = u16::try_from(lines.len()).unwrap_or(u16::MAX);
                // A terminal that cannot be written to is gone; the work goes on.
                let _ = terminal
                    .insert_before(height, |buffer| Paragraph::new(lines).render(buffer.area, buffer));
            }
        }
    }

    fn frame(&mut self, last: bool) {
        let rows = self.rows.borrow_and_update().clone();
        if let Screen::Live(terminal) = &mut self.screen {
            // An empty line parts the table from the log.
            let _ = terminal.draw(|frame| {
                let [_, below] =
                    Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(frame.area());
                frame.render_widget(table(&rows), below);
            });
            return;
        }
        let due = match &self.printed {
            None => true,
            Some((at, before)) => (last || at.elapsed() >= SUMMARY) && moved(before, &rows),
        };
        if !due || rows.is_empty() {
            return;
        }
        match self.screen {
            Screen::Json => print(&json!({"type": "status", "actors": rows}).to_string()),
            _ if self.printed.is_some() => rows.iter().for_each(|row| print(&summary(row))),
            _ => {}
        }
        self.printed = Some((Instant::now(), rows));
    }
}

fn live(actors: usize) -> Option<Screen> {
    let height = u16::try_from(actors.min(SHOWN) + 2).ok()?;
    let options = TerminalOptions { viewport: Viewport::Inline(height) };
    let terminal = Terminal::with_options(CrosstermBackend::new(io::stdout()), options).ok()?;
    Some(Screen::Live(Box::new(terminal)))
}

/// Whether anything but the rate differs.
fn moved(before: &[Row], now: &[Row]) -> bool {
    let still = |row: &Row| Row { rate: 0.0, ..row.clone() };
    !before.iter().map(still).eq(now.iter().map(still))
}

/// One actor in one line.
fn summary(row: &Row) -> String {
    let failing = row.failing.as_ref().map_or_else(String::new, |why| format!(", not starting: {why}"));
    format!(
        "{:<16} {} done, {} failed, {} in hand, {} waiting, {} replicas, {:.1}/s{failing}",
        row.actor,
        row.succeeded,
        row.failed,
        row.in_flight,
        row.ready + row.delayed,
        row.replicas,
        row.rate
    )
}

fn plain(line: &Line, colours: bool) -> String {
    let name = line.actor.as_deref().unwrap_or("asya");
    let mark = if line.kind == Kind::Output { '|' } else { '·' };
    if !colours {
        return format!("{name:<16} {mark} {}", line.text);
    }
    let code = CODES[number(name) % CODES.len()];
    let text = match line.kind {
        Kind::Error => format!("\x1b[31m{}\x1b[0m", line.text),
        Kind::Note if warns(&line.text) => format!("\x1b[33m{}\x1b[0m", line.text),
        _ => line.text.clone(),
    };
    format!("\x1b[{code}m{name:<16}\x1b[0m {mark} {text}")
}

/// Whether an engine or a transport warns, for example of an envelope that failed.
fn warns(text: &str) -> bool {
    text.starts_with("WARN")
}

/// One line as rows of at most `width` characters, the actor's name before the first.
fn wrapped(line: &Line, width: usize) -> Vec<Text<'static>> {
    let name = line.actor.as_deref().unwrap_or("asya");
    let style = match line.kind {
        Kind::Output => Style::new(),
        Kind::Note if warns(&line.text) => Style::new().yellow(),
        Kind::Note => Style::new().dim(),
        Kind::Error => Style::new().red(),
    };
    // Tabs and control characters of handlers must not move the table.
    let text = line.text.replace('\t', "    ");
    let text: Vec<char> = text.chars().filter(|c| !c.is_control()).collect();
    let name = Span::styled(format!("{name:<16} "), Style::new().fg(COLOURS[number(name) % COLOURS.len()]));
    let indent = if name.width() * 2 <= width { name.width() } else { 0 };
    let first = width.saturating_sub(name.width()).max(1).min(text.len());
    let (head, rest) = text.split_at(first);
    let mut rows = vec![Text::from(vec![name, Span::styled(head.iter().collect::<String>(), style)])];
    let rest = rest.chunks(width.saturating_sub(indent).max(1)).take(LONGEST_WRAPPED);
    rows.extend(rest.map(|row| {
        let text: String = row.iter().collect();
        Text::from(vec![Span::raw(" ".repeat(indent)), Span::styled(text, style)])
    }));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row {
            actor: "ocr".into(),
            replicas: 2,
            ready: 7,
            succeeded: 40,
            failed: 3,
            rate: 1.5,
            ..Row::default()
        }
    }

    #[test]
    fn a_change_of_the_rate_alone_is_no_news() {
        let faster = Row { rate: 9.0, ..row() };
        assert!(!moved(&[row()], std::slice::from_ref(&faster)));
        assert!(moved(&[row()], &[Row { succeeded: 41, ..faster }]));
        assert!(summary(&row()).contains("40 done, 3 failed"));
    }

    #[test]
    fn handlers_cannot_move_the_cursor_of_the_view() {
        let line = Line { actor: None, kind: Kind::Output, text: "a\tb\x1b[2J\rc".into() };
        let rows = wrapped(&line, 20);
        let text: String = rows.iter().flat_map(|row| &row.spans).map(|span| span.content.as_ref()).collect();
        assert_eq!(rows.len(), 2);
        assert!(!text.contains(['\t', '\x1b', '\r']), "{text:?}");
    }

    #[test]
    fn a_long_line_stays_beside_its_name() {
        let line = Line { actor: Some("ocr".into()), kind: Kind::Output, text: "x".repeat(60) };
        let rows: Vec<_> = wrapped(&line, 50).iter().map(ToString::to_string).collect();
        assert_eq!(rows.len(), 2);
        assert!(rows.iter().all(|row| row.len() <= 50), "{rows:?}");
        assert!(rows[1].starts_with(&" ".repeat(17)), "{rows:?}");
    }

    #[test]
    fn colours_are_left_out_when_not_on_a_terminal() {
        let line = Line { actor: Some("ocr".into()), kind: Kind::Output, text: "hi".into() };
        assert_eq!(plain(&line, false), "ocr              | hi");
        assert!(plain(&line, true).contains("\x1b["));
    }
}
