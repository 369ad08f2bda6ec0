//! Tables as kubectl prints them, with colours; the last column is wrapped where there is a terminal.

use crate::cli::output::safe;
use crate::cli::output::text::{fit, width};
use crate::cli::output::{DIM, Mark, paint};
use anstyle::Style;
use unicode_width::UnicodeWidthStr;

/// Between two columns.
const GAP: usize = 3;

/// A column narrower than this is not worth wrapping.
const NARROWEST: usize = 20;

/// A text in a style.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A text in a style.
    pub fn new(text: impl Into<String>, style: Style) -> Self {
        let text = text.into();
        Self { text: safe::line(&text).into_owned(), style }
    }

    /// A mark.
    pub fn marked(mark: Mark) -> Self {
        Self::new(mark.symbol(), mark.style())
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Style::new())
    }
}

/// A table. Columns that are empty in every row are left out.
#[derive(Debug, Clone)]
pub struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
    indent: usize,
}

impl Table {
    /// With these headings; none: without a line of headings.
    pub fn new(headings: &[&'static str]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new(), indent: 0 }
    }

    /// Moved to the right.
    #[must_use]
    pub fn indented(mut self, indent: usize) -> Self {
        self.indent = indent;
        self
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Its lines, for the terminal there is.
    pub fn into_lines(self) -> Vec<String> {
        self.lines(width())
    }

    fn lines(&self, room: Option<usize>) -> Vec<String> {
        let headings: Vec<_> = self.headings.iter().map(|heading| Cell::new(*heading, DIM)).collect();
        let all: Vec<&[Cell]> = std::iter::once(headings.as_slice())
            .filter(|headings| !headings.is_empty())
            .chain(self.rows.iter().map(Vec::as_slice))
            .collect();
        let columns = all.iter().map(|row| row.len()).max().unwrap_or_default();
        let used = |column: usize| {
            self.rows.iter().any(|row| row.get(column).is_some_and(|cell| !cell.text.is_empty()))
        };
        let columns: Vec<usize> = (0..columns).filter(|column| used(*column)).collect();
        let widest = |column: usize| {
            all.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.text.width())
                .max()
                .unwrap_or_default()
        };
        let widths: Vec<(usize, usize)> = columns.iter().map(|column| (*column, widest(*column))).collect();
        all.iter().flat_map(|row| self.row_lines(row, &widths, room)).collect()
    }

    fn row_lines(&self, row: &[Cell], widths: &[(usize, usize)], room: Option<usize>) -> Vec<String> {
        let Some(((last, _), before)) = widths.split_last() else { return Vec::new() };
        let mut start = " ".repeat(self.indent);
        let mut offset = self.indent;
        for (column, width) in before {
            let cell = row.get(*column).cloned().unwrap_or_default();
            let padding = " ".repeat(width - cell.text.width().min(*width) + GAP);
            start.push_str(&paint(cell.style, &cell.text));
            start.push_str(&padding);
            offset += width + GAP;
        }
        let cell = row.get(*last).cloned().unwrap_or_default();
        let room = room.map(|room| room.saturating_sub(offset)).filter(|room| *room >= NARROWEST);
        let mut lines = fit(&cell.text, room).into_iter().map(|line| paint(cell.style, line));
        let first = lines.next().unwrap_or_default();
        let mut all = vec![format!("{start}{first}").trim_end().to_owned()];
        all.extend(lines.map(|line| format!("{}{line}", " ".repeat(offset))));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_and_the_last_is_wrapped() {
        let mut table = Table::new(&["NAME", "EMPTY", "STATUS"]);
        table.row(["relay".into(), "".into(), "takes mail".into()]);
        table.row(["a-longer-name".into(), "".into(), "nothing listens on the port".into()]);
        let plain = |room| {
            let lines = table.lines(room).join("\n");
            anstream::adapter::strip_str(&lines).to_string()
        };
        assert_eq!(
            plain(None),
            "NAME            STATUS\nrelay           takes mail\na-longer-name   nothing listens on the port"
        );
        assert_eq!(
            plain(Some(36)),
            "NAME            STATUS\nrelay           takes mail\na-longer-name   nothing listens on\n                the port"
        );
    }
}
