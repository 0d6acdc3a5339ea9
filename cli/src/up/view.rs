//! What is seen of the fleet: a live table below the log on a terminal, plain lines, or JSON lines.

use std::{
    io::{self, IsTerminal as _, Stdout},
    time::Duration,
};

use ratatui::{
    Terminal, TerminalOptions, Viewport,
    backend::CrosstermBackend,
    layout::Constraint,
    style::{Color, Style},
    text::{Line as Text, Span},
    widgets::{Cell, Paragraph, Row as TableRow, Table, Widget as _},
};
use serde_json::json;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    fleet::Row,
    logs::{Kind, Line, Logs},
};
use crate::output::{self, Output, print};

/// How often the table is drawn.
const FRAME: Duration = Duration::from_millis(200);
/// How often a summary is printed where there is no table, if something has changed.
const SUMMARY: Duration = Duration::from_secs(5);
/// Actors that the table shows; more would leave no room for the log.
const SHOWN: usize = 16;
/// Rows of one line; longer ones are cut, so that one handler does not push everything else away.
const LONGEST_WRAPPED: usize = 50;
/// Columns of the table: with the gaps between them they fill a terminal of 80; a wider one has room for why an actor
/// does not start.
const WIDTHS: [u16; 9] = [16, 10, 7, 7, 7, 7, 6, 7, 4];
/// Colours of actors' names; red is for what goes wrong.
const COLOURS: [Color; 6] =
    [Color::Cyan, Color::Magenta, Color::Green, Color::Yellow, Color::Blue, Color::LightCyan];
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
            let _ = terminal.draw(|frame| frame.render_widget(table(&rows), frame.area()));
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
    let text =
        if line.kind == Kind::Error { format!("\x1b[31m{}\x1b[0m", line.text) } else { line.text.clone() };
    format!("\x1b[{code}m{name:<16}\x1b[0m {mark} {text}")
}

/// One line as rows of at most `width` characters, the actor's name before the first.
fn wrapped(line: &Line, width: usize) -> Vec<Text<'static>> {
    let name = line.actor.as_deref().unwrap_or("asya");
    let style = match line.kind {
        Kind::Output => Style::new(),
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

/// A number from a name, evenly spread (FNV-1a): the sum of a name's bytes gave half of the actors one colour.
fn number(name: &str) -> usize {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    usize::try_from(hash >> 24).unwrap_or_default()
}

fn table(rows: &[Row]) -> Table<'static> {
    let head = ["actor", "replicas", "waiting", "in hand", "rate/s", "done", "failed", "retried", "dead", ""];
    let body = rows.iter().take(SHOWN).map(|row| {
        let replicas = match row.starting {
            0 => row.replicas.to_string(),
            starting => format!("{} of {} up", row.replicas.saturating_sub(starting), row.replicas),
        };
        let bad = |count: u64| {
            let style = if count > 0 { Style::new().red() } else { Style::new() };
            Cell::from(count.to_string()).style(style)
        };
        TableRow::new([
            Cell::from(row.actor.clone()).style(Style::new().fg(COLOURS[number(&row.actor) % COLOURS.len()])),
            Cell::from(replicas),
            Cell::from((row.ready + row.delayed).to_string()),
            Cell::from(row.in_flight.to_string()),
            Cell::from(format!("{:.1}", row.rate)),
            Cell::from(row.succeeded.to_string()),
            bad(row.failed),
            Cell::from(row.retried.to_string()),
            bad(row.dead),
            Cell::from(row.failing.clone().unwrap_or_default()).style(Style::new().red()),
        ])
    });
    let widths = WIDTHS.map(Constraint::Length).into_iter().chain([Constraint::Fill(1)]);
    Table::new(body, widths).header(TableRow::new(head).style(Style::new().bold()))
}

#[cfg(test)]
mod tests {
    use ratatui::backend::TestBackend;

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
    fn the_table_shows_every_number() {
        let mut terminal = Terminal::new(TestBackend::new(110, 3)).unwrap();
        terminal.draw(|frame| frame.render_widget(table(&[row()]), frame.area())).unwrap();
        let drawn: String =
            terminal.backend().buffer().content().iter().map(ratatui::buffer::Cell::symbol).collect();
        for part in ["waiting", "ocr", "7", "40", "1.5"] {
            assert!(drawn.contains(part), "{part} in {drawn}");
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
    fn every_column_fits_a_terminal_of_80() {
        let full = Row { actor: "a-name-of-16-char".into(), starting: 1, dead: 1234, ..row() };
        let mut terminal = Terminal::new(TestBackend::new(80, 2)).unwrap();
        terminal.draw(|frame| frame.render_widget(table(&[full]), frame.area())).unwrap();
        let drawn: String =
            terminal.backend().buffer().content().iter().map(ratatui::buffer::Cell::symbol).collect();
        for part in ["1 of 2 up", "retried dead", "1234"] {
            assert!(drawn.contains(part), "{part} in {drawn}");
        }
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

    #[test]
    fn actors_of_one_pipeline_do_not_share_one_colour() {
        let names = ["split", "analyse", "summarise", "collect", "render", "happy-end", "error-end"];
        let used: std::collections::BTreeSet<_> =
            names.iter().map(|name| number(name) % COLOURS.len()).collect();
        assert!(used.len() >= 4, "{used:?}");
    }
}
