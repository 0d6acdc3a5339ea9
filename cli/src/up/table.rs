//! The live table: one row for each actor.

use ratatui::{
    layout::Constraint,
    style::{Color, Style},
    text::Text,
    widgets::{Cell, Row as TableRow, Table},
};

use super::fleet::Row;

/// Actors that the table shows; more would leave no room for the log.
pub(super) const SHOWN: usize = 16;
/// Columns of the table: with the gaps between them they fill a terminal of 80; a wider one has room for why an actor
/// does not start.
const WIDTHS: [u16; 9] = [16, 10, 7, 7, 7, 7, 6, 7, 4];
/// Colours of actors' names; red is for what goes wrong.
pub(super) const COLOURS: [Color; 6] =
    [Color::Cyan, Color::Magenta, Color::Green, Color::Yellow, Color::Blue, Color::LightCyan];

/// Right-aligned, so that digits of one value stand below each other.
fn number_cell<'a>(text: impl Into<Text<'a>>) -> Cell<'a> {
    Cell::from(text.into().right_aligned())
}

/// The table of all actors.
pub(super) fn table(rows: &[Row]) -> Table<'static> {
    let head = ["actor", "replicas", "waiting", "in hand", "rate/s", "done", "failed", "retried", "dead", ""];
    let head = head.iter().enumerate().map(|(column, name)| match column {
        0 | 9 => Cell::from(*name),
        _ => number_cell(*name),
    });
    let body = rows.iter().take(SHOWN).map(|row| {
        let replicas = match row.starting {
            0 => row.replicas.to_string(),
            starting => format!("{} of {} up", row.replicas.saturating_sub(starting), row.replicas),
        };
        let bad = |count: u64| {
            let style = if count > 0 { Style::new().red() } else { Style::new() };
            number_cell(count.to_string()).style(style)
        };
        TableRow::new([
            Cell::from(row.actor.clone()).style(Style::new().fg(COLOURS[number(&row.actor) % COLOURS.len()])),
            number_cell(replicas),
            number_cell((row.ready + row.delayed).to_string()),
            number_cell(row.in_flight.to_string()),
            number_cell(format!("{:.1}", row.rate)),
            number_cell(row.succeeded.to_string()),
            bad(row.failed),
            number_cell(row.retried.to_string()),
            bad(row.dead),
            Cell::from(row.failing.clone().unwrap_or_default()).style(Style::new().red()),
        ])
    });
    let widths = WIDTHS.map(Constraint::Length).into_iter().chain([Constraint::Fill(1)]);
    Table::new(body, widths).header(TableRow::new(head).style(Style::new().bold()))
}

/// A number from a name, evenly spread (FNV-1a): the sum of a name's bytes gave half of the actors one colour.
pub(super) fn number(name: &str) -> usize {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    usize::try_from(hash >> 24).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};

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
    fn actors_of_one_pipeline_do_not_share_one_colour() {
        let names = ["split", "analyse", "summarise", "collect", "render", "happy-end", "error-end"];
        let used: std::collections::BTreeSet<_> =
            names.iter().map(|name| number(name) % COLOURS.len()).collect();
        assert!(used.len() >= 4, "{used:?}");
    }
}
